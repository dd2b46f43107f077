//! Image files as nibabel and Pillow read them (`ops/make-reference-images`), and real ones (`ops/setup-images`).

#![allow(clippy::unwrap_used)]

use std::path::{Path, PathBuf};
use trainmaster_trainer::segmentation::image::{ImageReader, Role, stem};
use trainmaster_trainer::segmentation::listing::pairs;
use trainmaster_trainer::segmentation::nifti::NiftiReader;
use trainmaster_trainer::segmentation::slices::Slices;
use trainmaster_trainer::tensor_file::TensorFile;

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/images")
}

fn read(path: &Path, role: Role) -> (Vec<i64>, Vec<f32>) {
    let mut reader = ImageReader::open(path, role).unwrap();
    let extent = reader.extent();
    let size = extent.pixels() * extent.channels;
    let mut all = vec![0.0; size * extent.slices];
    for slice in all.chunks_exact_mut(size) {
        reader.read_slice(slice).unwrap();
    }
    let shape = [extent.slices, extent.channels, extent.height, extent.width];
    (shape.map(|length| length as i64).to_vec(), all)
}

#[test]
fn every_kind_of_number_in_either_byte_order_is_read_to_the_bit() {
    let expected = TensorFile::open(&directory().join("expected.safetensors")).unwrap();
    let mut seen = 0;
    for entry in std::fs::read_dir(directory()).unwrap() {
        let path = entry.unwrap().path();
        let Some((name, _)) = stem(&path) else {
            continue;
        };
        let role = if name.starts_with("labels") {
            Role::Labels
        } else {
            Role::Image
        };
        let (shape, values) = read(&path, role);
        let file = path.file_name().unwrap().to_str().unwrap();
        let tensor = expected.tensor(file, &shape).unwrap();
        let theirs: Vec<f32> = Vec::try_from(&tensor.view([-1])).unwrap();
        let bits = |of: &[f32]| of.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        assert_eq!(bits(&values), bits(&theirs), "{file}");
        seen += 1;
    }
    assert_eq!(seen, 33);
}

#[test]
fn numbers_are_scaled_as_the_header_says() {
    for (name, slope) in [("scaled.nii", 0.25), ("scaled-big.nii.gz", 1.5)] {
        let reader = NiftiReader::open(&directory().join(name)).unwrap();
        assert_eq!(reader.header.scaling.unwrap().0, slope, "{name}");
    }
    let reader = NiftiReader::open(&directory().join("little-i2.nii")).unwrap();
    assert_eq!(reader.header.scaling, None);
}

#[test]
fn labels_keep_the_geometry_of_their_image() {
    for name in ["scaled.nii", "big-f8.nii.gz", "version-2-big.nii"] {
        let path = directory().join(name);
        let image = NiftiReader::open(&path).unwrap();
        let own = tempfile::tempdir().unwrap();
        let labels = own.path().join("labels.nii");
        let classes: Vec<u8> = (0..60).collect();
        let mut bytes = image.header.of_labels();
        bytes.extend(&classes);
        std::fs::write(&labels, &bytes).unwrap();
        let (shape, values) = read(&labels, Role::Labels);
        assert_eq!(shape, [3, 1, 4, 5]);
        assert_eq!(
            values,
            classes.iter().map(|c| f32::from(*c)).collect::<Vec<_>>()
        );
        // What is not about how numbers are stored is as it was: the affine matrix above all.
        let header = NiftiReader::open(&labels).unwrap().header;
        assert_eq!(header.big_endian, image.header.big_endian);
        let matrix = if name.starts_with("version-2") {
            400..496
        } else {
            280..328
        };
        let original = whole(&path);
        assert_eq!(bytes[matrix.clone()], original[matrix]);
    }
}

fn whole(path: &Path) -> Vec<u8> {
    use std::io::Read;
    let bytes = std::fs::read(path).unwrap();
    if !bytes.starts_with(&[0x1f, 0x8b]) {
        return bytes;
    }
    let mut inside = vec![];
    flate2::read::GzDecoder::new(bytes.as_slice())
        .read_to_end(&mut inside)
        .unwrap();
    inside
}

#[test]
fn real_images_are_read_with_their_labels() {
    let Some(images) = std::env::var_os("TRAINMASTER_IMAGES") else {
        eprintln!(
            "skipped: TRAINMASTER_IMAGES is not set to the directory that ops/setup-images prints"
        );
        return;
    };
    for (name, files, slices, size, classes) in [
        ("nuclei", 16, 1, (128, 128), 2),
        ("brain", 12, 8, (197, 233), 3),
    ] {
        let directory = Path::new(&images).join(name);
        let found = pairs(&directory.join("images"), &directory.join("labels")).unwrap();
        assert_eq!(found.len(), files);
        let scratch = tempfile::tempdir().unwrap();
        let mut tick = |_| std::ops::ControlFlow::Continue(());
        let all = Slices::read(&found, None, scratch.path(), &mut tick).unwrap();
        assert_eq!((all.classes, all.channels), (classes, 1));
        let mut counts = vec![0; classes as usize];
        for file in 0..files {
            assert_eq!(all.count(file), slices);
            let (mut sum, mut squares, mut pixels) = (0.0, 0.0, 0.0);
            for z in 0..slices {
                let slice = all.slice(file, z).unwrap();
                assert_eq!((slice.width, slice.height), size);
                for value in slice.image.iter().map(|value| f64::from(*value)) {
                    sum += value;
                    squares += value * value;
                    pixels += 1.0;
                }
                for class in slice.labels {
                    counts[usize::from(class)] += 1;
                }
            }
            assert!((sum / pixels).abs() < 1e-4 && (squares / pixels - 1.0).abs() < 1e-4);
        }
        // Each class is a good part, and the background the largest.
        let total: usize = counts.iter().sum();
        assert!(
            counts.iter().all(|count| 20 * count > total),
            "{name}: {counts:?}"
        );
        assert!(
            counts.iter().all(|count| *count <= counts[0]),
            "{name}: {counts:?}"
        );
        // The file of slices has no name.
        assert_eq!(std::fs::read_dir(scratch.path()).unwrap().count(), 0);
    }
}
