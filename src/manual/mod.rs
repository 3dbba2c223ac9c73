//! The reasons behind smrt, as pages to read. There is no code here.

#[doc = include_str!("architecture.md")]
pub mod architecture {}

#[doc = include_str!("defaults.md")]
pub mod defaults {}

#[doc = include_str!("channels.md")]
pub mod channels {}

#[doc = include_str!("threats.md")]
pub mod threats {}

#[doc = include_str!("extending.md")]
pub mod extending {}
