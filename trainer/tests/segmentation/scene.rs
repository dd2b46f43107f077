//! Images that are drawn: a bright disc and a brighter square on a noisy ground, and which pixel is of which.

use std::path::{Path, PathBuf};
use trainmaster_domain::id::TrainingId;
use trainmaster_domain::run::spec::{TrainSegmentation, Work};
use trainmaster_domain::segmentation::SegmentationSettings;
use trainmaster_trainer::random::Random;

pub const WIDTH: usize = 40;
pub const HEIGHT: usize = 36;

/// Directories of images and labels.
pub struct Scene {
    directory: tempfile::TempDir,
}

/// Values from 0 to 255, and classes 0 to 2.
pub fn draw(seed: u64) -> (Vec<u8>, Vec<u8>) {
    let mut random = Random::new(seed, "scene", 0);
    let mut within = |from: f64, to: f64| from + (to - from) * random.uniform();
    let disc = (within(8.0, 32.0), within(8.0, 28.0), within(4.0, 8.0));
    let square = (within(4.0, 30.0), within(4.0, 26.0), within(6.0, 9.0));
    (0..WIDTH * HEIGHT)
        .map(|at| {
            let (x, y) = ((at % WIDTH) as f64, (at / WIDTH) as f64);
            let in_disc = (x - disc.0).hypot(y - disc.1) < disc.2;
            let in_square = x >= square.0
                && y >= square.1
                && x < square.0 + square.2
                && y < square.1 + square.2;
            let (brightness, class) = match (in_square, in_disc) {
                (true, _) => (180.0, 2),
                (_, true) => (120.0, 1),
                _ => (60.0, 0),
            };
            ((brightness + within(-20.0, 20.0)) as u8, class)
        })
        .unzip()
}

pub fn png(path: &Path, values: &[u8]) {
    let mut file = std::fs::File::create(path).unwrap();
    let (width, height) = (WIDTH as u32, HEIGHT as u32);
    trainmaster_trainer::segmentation::png_file::write_labels(&mut file, width, height, values)
        .unwrap();
}

/// A NIfTI file of bytes.
pub fn nifti(shape: [i16; 3], values: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 352];
    let mut put = |at: usize, value: &[u8]| bytes[at..at + value.len()].copy_from_slice(value);
    put(0, &348i32.to_le_bytes());
    for (n, length) in [3, shape[0], shape[1], shape[2], 1, 1, 1, 1]
        .iter()
        .enumerate()
    {
        put(40 + 2 * n, &length.to_le_bytes());
    }
    put(70, &2i16.to_le_bytes());
    put(72, &8i16.to_le_bytes());
    put(108, &352f32.to_le_bytes());
    for (row, value) in [(280, 2.0f32), (300, 3.0), (320, 4.0)] {
        put(row, &value.to_le_bytes());
    }
    put(344, b"n+1\0");
    bytes.extend(values);
    bytes
}

impl Scene {
    /// So many pictures, and so many volumes of three slices.
    pub fn new(pictures: u64, volumes: u64) -> Self {
        let scene = Self {
            directory: tempfile::tempdir().unwrap(),
        };
        std::fs::create_dir(scene.images()).unwrap();
        std::fs::create_dir(scene.labels()).unwrap();
        for n in 0..pictures {
            let (image, labels) = draw(n);
            png(&scene.images().join(format!("picture-{n}.png")), &image);
            png(&scene.labels().join(format!("picture-{n}.png")), &labels);
        }
        for n in 0..volumes {
            let (image, labels): (Vec<_>, Vec<_>) = (0..3).map(|z| draw(100 + 3 * n + z)).unzip();
            let shape = [WIDTH as i16, HEIGHT as i16, 3];
            for (directory, values) in [(scene.images(), image), (scene.labels(), labels)] {
                let bytes = nifti(shape, &values.concat());
                std::fs::write(directory.join(format!("volume-{n}.nii")), bytes).unwrap();
            }
        }
        scene
    }

    pub fn images(&self) -> PathBuf {
        self.directory.path().join("images")
    }

    pub fn labels(&self) -> PathBuf {
        self.directory.path().join("labels")
    }

    pub fn train(&self, settings: SegmentationSettings) -> TrainSegmentation {
        TrainSegmentation {
            training_id: TrainingId::new("seg_test").unwrap(),
            images_path: self.images().to_string_lossy().into_owned(),
            labels_path: self.labels().to_string_lossy().into_owned(),
            settings,
            split: None,
            result_path: None,
            resume_from: None,
        }
    }
}

/// A small network that learns the scene in a few seconds.
pub fn settings() -> SegmentationSettings {
    SegmentationSettings {
        training_steps: 60,
        batch_size: 4,
        patch_size: 32,
        base_channels: 8,
        depth: 2,
        learning_rate: 0.01,
        warmup_steps: 5,
        checkpoint_interval: 30,
        ..SegmentationSettings::default()
    }
}

pub fn work(train: TrainSegmentation) -> Work {
    Work::TrainSegmentation(Box::new(train))
}
