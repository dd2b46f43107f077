//! The log keeps its promises.

mod commands;
mod fixture;
mod order;
