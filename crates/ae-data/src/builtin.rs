//! Built-in datasets, which need no file.

mod curves;
mod digits;

pub use curves::curves;
pub use digits::digits;
