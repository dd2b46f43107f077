//! How far the log had got, in a line that can be kept elsewhere.

mod digest;

pub(in crate::log) use digest::StreamsDigest;
