//! One value that says where to compute.

pub use burn::tensor::Device;
