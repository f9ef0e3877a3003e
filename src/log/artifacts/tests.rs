//! Tests of artifacts.

use super::*;
use crate::log::Kind;

fn artifacts() -> (tempfile::TempDir, Artifacts) {
    let folder = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::new(folder.path().join("artifacts"));
    (folder, artifacts)
}

#[test]
fn bytes_read_back_and_are_kept_once() {
    let (_folder, artifacts) = artifacts();
    let hash = artifacts.put(b"weights").unwrap();
    assert_eq!(artifacts.put(b"weights").unwrap(), hash);
    assert_eq!(artifacts.read(hash).unwrap(), b"weights");
    assert_eq!(artifacts.list().unwrap(), [(hash, 7)]);
    artifacts.settled();
    let removal = artifacts.removal(Duration::ZERO).unwrap();
    assert!(artifacts.remove(&removal, hash).unwrap());
    assert!(!artifacts.remove(&removal, hash).unwrap());
    assert!(matches!(artifacts.open(hash), Err(LogError::NoArtifact { .. })));
}

#[test]
fn a_staged_file_is_adopted_under_the_hash_of_its_bytes() {
    let (_folder, artifacts) = artifacts();
    let staging = artifacts.staging("device-cpu").unwrap();
    for _ in 0..2 {
        fs::write(staging.folder().join("out"), b"probabilities").unwrap();
        let (hash, length) = artifacts.adopt(&staging, "out").unwrap();
        assert_eq!(length, 13);
        assert_eq!(artifacts.read(hash).unwrap(), b"probabilities");
    }
    assert_eq!(artifacts.list().unwrap().len(), 1);
    assert_eq!(fs::read_dir(staging.folder()).unwrap().count(), 0);
}

#[test]
fn only_plain_files_in_the_staging_folder_are_adopted() {
    let (folder, artifacts) = artifacts();
    let staging = artifacts.staging("device-cpu").unwrap();
    let outside = folder.path().join("outside");
    fs::write(&outside, b"secret").unwrap();
    std::os::unix::fs::symlink(&outside, staging.folder().join("link")).unwrap();
    fs::create_dir(staging.folder().join("dir")).unwrap();
    fs::write(staging.folder().join("dir/file"), b"x").unwrap();
    let absolute = outside.to_str().unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, staging.folder().join("pipe"), 0o600.into()).unwrap();
    let others = ["link", "pipe", "dir", "dir/file", "../../../outside", absolute];
    for name in others.into_iter().chain(["", ".", "missing"]) {
        let error = artifacts.adopt(&staging, name).unwrap_err();
        assert!(matches!(error, LogError::NotStaged { .. }), "{name}: {error}");
    }
}

#[test]
fn a_changed_byte_is_noticed_and_healed_by_adding_again() {
    let (_folder, artifacts) = artifacts();
    let hash = artifacts.put(b"weights").unwrap();
    fs::write(artifacts.path(hash), b"weighty").unwrap();
    assert_eq!(artifacts.read(hash).unwrap_err().kind(), Kind::Damaged);
    artifacts.put(b"weights").unwrap();
    assert_eq!(artifacts.read(hash).unwrap(), b"weights");
}

#[test]
fn what_is_added_stays_until_it_is_settled() {
    let (_folder, artifacts) = artifacts();
    let hash = artifacts.put(b"weights").unwrap();
    let other = Artifacts::new(artifacts.folder.clone());
    assert_eq!(other.removal(Duration::ZERO).unwrap_err().kind(), Kind::Busy);
    artifacts.settled();
    let removal = other.removal(Duration::ZERO).unwrap();
    assert_eq!(artifacts.pin(Duration::ZERO).unwrap_err().kind(), Kind::Busy);
    assert!(other.remove(&removal, hash).unwrap());
    drop(removal);
    let clone = artifacts.clone();
    clone.put(b"weights").unwrap();
    drop(clone);
    assert_eq!(other.removal(Duration::ZERO).unwrap_err().kind(), Kind::Busy);
    drop(artifacts);
    other.removal(Duration::ZERO).unwrap();
}

#[test]
fn links_inside_a_store_are_not_followed() {
    use std::os::unix::fs::symlink;
    let (folder, artifacts) = artifacts();
    let outside = folder.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("thesis"), b"weights").unwrap();
    let hash = ArtifactHash::of(b"weights");
    artifacts.staging("search-s1").unwrap();
    symlink(outside.join("thesis"), artifacts.path(hash)).unwrap();
    assert_eq!(artifacts.open(hash).unwrap_err().kind(), Kind::Damaged);
    assert!(artifacts.list().unwrap().is_empty());
    let staging = artifacts.folder.join("staging");
    fs::remove_dir(staging.join("search-s1")).unwrap();
    symlink(&outside, staging.join("search-s1")).unwrap();
    artifacts.staging("search-s1").unwrap();
    fs::remove_dir_all(&staging).unwrap();
    symlink(&outside, &staging).unwrap();
    for refused in [artifacts.put(b"x").err(), artifacts.staging("search-s1").err()] {
        assert_eq!(refused.unwrap().kind(), Kind::Damaged);
    }
    fs::remove_dir_all(&artifacts.folder).unwrap();
    symlink(&outside, &artifacts.folder).unwrap();
    for refused in [artifacts.put(b"x").err(), artifacts.list().err(), artifacts.open(hash).err()] {
        assert_eq!(refused.unwrap().kind(), Kind::Damaged);
    }
    assert_eq!(names(&outside).unwrap(), ["thesis"]);
}

#[test]
fn leftovers_go_with_their_owners() {
    let (folder, artifacts) = artifacts();
    let locks = Locks::new(folder.path().join("lock"), "test", Duration::ZERO);
    fs::create_dir(folder.path().join("lock")).unwrap();
    let living = locks.named("search-s1").unwrap();
    let staging = artifacts.staging("search-s1").unwrap();
    fs::write(staging.folder().join("half"), b"").unwrap();
    let staging = artifacts.staging("search-s1").unwrap();
    assert_eq!(fs::read_dir(staging.folder()).unwrap().count(), 0);
    let puts = staging.folder().parent().unwrap();
    fs::write(puts.join(own_name()), b"").unwrap();
    // Above the largest process id of Linux.
    fs::write(puts.join("put-2000000000-0"), b"123").unwrap();
    fs::write(artifacts.staging("run-r1").unwrap().folder().join("half"), b"12").unwrap();
    let abandoned = artifacts.abandoned(&locks).unwrap();
    assert_eq!(abandoned.iter().map(|one| one.bytes).collect::<Vec<_>>(), [3, 2]);
    assert_eq!(artifacts.sweep(&locks).unwrap(), 2);
    assert_eq!(artifacts.sweep(&locks).unwrap(), 0);
    drop(living);
    assert_eq!(artifacts.sweep(&locks).unwrap(), 1);
}

#[test]
fn an_adopted_file_has_the_mode_of_any_other() {
    use std::os::unix::fs::PermissionsExt as _;
    let (folder, artifacts) = artifacts();
    let staging = artifacts.staging("device-cpu").unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let usual = folder.path().join("usual");
    fs::write(&usual, "").unwrap();
    for wanted in [0o600, 0o777, 0o400] {
        let path = staging.folder().join("out");
        fs::write(&path, format!("{wanted}")).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(wanted)).unwrap();
        let (hash, _) = artifacts.adopt(&staging, "out").unwrap();
        assert_eq!(mode(&artifacts.path(hash)), mode(&usual), "{wanted:o}");
    }
}

#[test]
fn a_copy_is_not_changed_by_what_is_written_to_the_original_later() {
    let (folder, artifacts) = artifacts();
    let path = folder.path().join("original");
    fs::write(&path, b"weights").unwrap();
    let (hash, length) = artifacts.put_copy(&File::open(&path).unwrap()).unwrap();
    assert_eq!((hash, length), (ArtifactHash::of(b"weights"), 7));
    fs::write(&path, b"weighty").unwrap();
    assert_eq!(artifacts.read(hash).unwrap(), b"weights");
}
