//! A segment file that is not what was written is noticed, and named.

use super::World;
use std::{fs, path::PathBuf};
use trainmaster::archive::ArchiveError;
use trainmaster::log::LogError;
use trainmaster_domain::{Position, RecordedEvent};
use trainmaster_tests::history::{Draw, History};

async fn archived() -> (World, PathBuf) {
    let mut world = World::new().await;
    world.live(&mut History::new(8), 80).await;
    let archived = world.archive_all().await;
    let path = world
        .directory
        .path()
        .join("archive")
        .join(&archived[0].file);
    (world, path)
}

async fn read(world: &World) -> Result<Vec<RecordedEvent>, LogError> {
    world.fresh().read(Position::START, usize::MAX).await
}

#[tokio::test]
async fn a_flipped_bit_is_noticed_wherever_it_is() {
    let (world, path) = archived().await;
    let whole = fs::read(&path).unwrap();
    let mut draw = Draw::new(8);
    let mut noticed = 0;
    for _ in 0..40 {
        let mut damaged = whole.clone();
        let byte = draw.below(whole.len() as u64) as usize;
        damaged[byte] ^= 1 << draw.below(8);
        fs::write(&path, &damaged).unwrap();
        match read(&world).await {
            Err(LogError::Archive(error @ ArchiveError::Damaged { .. })) => {
                assert!(
                    error.to_string().contains(path.to_str().unwrap()),
                    "{error}"
                );
                noticed += 1;
            }
            // In what says how to read the file, which no reader of ours needs; or in the directory of streams.
            Ok(events) => assert!(events == world.written),
            Err(error) => panic!("{error}"),
        }
        let checked = world.fresh().check_archive().await;
        assert!(checked.is_err(), "byte {byte}");
        let error = world.fresh().verify().await.unwrap_err();
        assert!(
            error.to_string().contains(path.to_str().unwrap()),
            "{error}"
        );
    }
    assert!(noticed > 0);
    fs::write(&path, &whole).unwrap();
    assert!(read(&world).await.unwrap() == world.written);
    assert_eq!(world.fresh().check_archive().await.unwrap(), 1);
    let verified = world.fresh().verify().await.unwrap();
    assert_eq!(verified.events, world.written.len() as u64);
}

#[tokio::test]
async fn a_file_that_is_cut_off_or_gone_is_noticed() {
    let (world, path) = archived().await;
    let whole = fs::read(&path).unwrap();
    for length in [0, 10, whole.len() / 2, whole.len() - 1] {
        fs::write(&path, &whole[..length]).unwrap();
        let error = read(&world).await.unwrap_err();
        assert!(
            matches!(error, LogError::Archive(ArchiveError::Damaged { .. })),
            "{error}"
        );
    }
    fs::remove_file(&path).unwrap();
    let error = read(&world).await.unwrap_err();
    assert!(
        matches!(error, LogError::Archive(ArchiveError::Missing { .. })),
        "{error}"
    );
    assert!(error.to_string().contains("backup"), "{error}");
    // Who was not told where the archive is says so.
    let homeless = trainmaster::log::Log::new(world.log.pool().clone());
    let error = homeless.read(Position::START, 10).await.unwrap_err();
    assert!(error.to_string().contains("archive.directory"), "{error}");
}

#[tokio::test]
async fn a_segment_is_read_by_zstd_alone() {
    let (world, path) = archived().await;
    let bytes = fs::read(&path).unwrap();
    let text = zstd::decode_all(&bytes[..]).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text.lines().count(), world.written.len());
    for (line, event) in text.lines().zip(&world.written) {
        let mut fields = line.split('\t');
        assert_eq!(
            fields.next().unwrap(),
            event.position.transaction.to_string()
        );
        assert_eq!(fields.nth(2).unwrap(), event.stream.id);
    }
    let header = String::from_utf8_lossy(&bytes[8..2000]);
    assert!(header.contains("trainmaster log segment") && header.contains("zstd -dc"));
}
