//! Rows of the threat table that no room's own tests prove; and that the table in `SECURITY.md` and
//! the tests name each other.

mod archives;
mod bombs;
mod canary;
mod house;
mod table;
