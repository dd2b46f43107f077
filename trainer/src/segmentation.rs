//! Segmenting images: which pixel is of which class. Images and labels are NIfTI volumes, slice by slice, or PNG.

pub mod augmentation;
pub mod checkpoint;
pub mod error;
pub mod image;
pub mod listing;
pub mod loss;
pub mod model;
pub mod nifti;
pub mod overlap;
pub mod png_file;
pub mod predict;
pub mod quality;
pub mod slices;
pub mod split;
pub mod training;
pub mod unet;
pub mod volume;
pub mod windows;

pub use error::SegmentationError;
