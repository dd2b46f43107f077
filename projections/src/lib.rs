//! What happens in trainmaster.
