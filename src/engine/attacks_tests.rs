//! How attacks begin, are found again, and are taken up when their beginning is not complete.

use super::super::openings::{find_attack, finish};
use super::super::session::Surroundings;
use super::*;
use crate::data::Images;
use crate::log::{Options, Store};

fn session(store: &std::path::Path) -> Session {
    let surroundings =
        Surroundings { options: Options::default(), clock: || 0, program: "qtrail 0".into() };
    Session::open(Store::open_or_create(store).unwrap(), surroundings, Box::new(())).unwrap()
}

/// So many images of one pixel each.
fn test_part(count: u32) -> TestPart {
    let pixels: Vec<u8> = (0..count).map(|image| image.to_le_bytes()[0]).collect();
    let labels = (0..count).map(|image| image.to_le_bytes()[0] % 3).collect();
    let images = Images { pixels, labels, count, channels: 1, side: 1, classes: 3 };
    let (name, folder) = ("many".to_owned(), PathBuf::from("/data"));
    TestPart { images: images.into(), name, folder, class_names: Vec::new(), seed: None }
}

/// Its beginning has more facts than a batch of the log; somebody may be killed between two.
#[test]
fn an_attack_on_fifty_thousand_images_is_begun_and_taken_up() {
    let folder = tempfile::tempdir().unwrap();
    let (file, test) = (folder.path().join("net.pt"), test_part(50_000));
    std::fs::write(&file, "PK").unwrap();
    let [whole, cut] = ["whole", "cut"].map(|name| folder.path().join(name));
    let mut session = session(&whole);
    let target = script("net", &file, &test.images).unwrap();
    let victims = vec![target.victim.weights.clone()];
    let base = Settings::of_protocol("kurakin2017", 1).unwrap();
    let settings = Settings { images: 50_000, victims, data: test.settings(), ..base };
    let targets = [target];
    let (scope, _lock) = begin(&mut session, "", &settings, &targets, &[3], &test, 1).unwrap();
    let expected = state(&mut session, scope).unwrap();
    assert_eq!(expected.images(), 50_000);
    assert!(expected.plan().is_some() && expected.next().is_some());

    let mut session = self::session(&cut);
    let events = beginning(&session, "", &settings, &targets, &[3], &test, 1).unwrap();
    assert!(events.len() > BATCH_MAX + 20, "{} facts", events.len());
    let (scope, lock) = session.claim(Index::next_attack).unwrap();
    session.record(scope, &events[..BATCH_MAX]).unwrap();
    drop(lock);
    session.close().unwrap();
    let mut session = self::session(&cut);
    assert_eq!(find_attack(&mut session, &settings, false).unwrap(), Some(scope));
    let mut attack = state(&mut session, scope).unwrap();
    assert!(attack.plan().is_none(), "images are missing");
    let other = finish(&mut session, scope, &mut attack, &test_part(49_999));
    assert!(matches!(other, Err(SessionError::OtherData { .. })));
    finish(&mut session, scope, &mut attack, &test).unwrap();
    let again = state(&mut session, scope).unwrap();
    for attack in [attack, again] {
        assert_eq!(attack.pool(), expected.pool());
        assert_eq!(attack.labels(), expected.labels());
        assert_eq!(attack.next(), expected.next());
    }
}

#[test]
fn an_attack_is_found_whatever_size_of_micro_batches_was_chosen_for_it() {
    let folder = tempfile::tempdir().unwrap();
    let (file, test) = (folder.path().join("net.pt"), test_part(30));
    std::fs::write(&file, "PK").unwrap();
    let mut session = session(&folder.path().join("store"));
    let target = script("net", &file, &test.images).unwrap();
    let victims = vec![target.victim.weights.clone()];
    let base = Settings::of_protocol("small", 1).unwrap();
    let wanted = Settings { images: 30, victims, data: test.settings(), ..base };
    let small = Settings { batch: 8, ..wanted.clone() };
    let (first, _lock) =
        begin(&mut session, "", &small, std::slice::from_ref(&target), &[3], &test, 1).unwrap();
    assert_eq!(find_attack(&mut session, &wanted, true).unwrap(), Some(first));
    assert_eq!(find_attack(&mut session, &wanted, false).unwrap(), None);
    let other = Settings { alpha: 2, ..wanted.clone() };
    assert_eq!(find_attack(&mut session, &other, true).unwrap(), None);
    // The very same settings go before others.
    let (exact, _lock) =
        begin(&mut session, "", &wanted, std::slice::from_ref(&target), &[3], &test, 1).unwrap();
    let third = Settings { batch: 4, ..wanted.clone() };
    let (_, _lock) = begin(&mut session, "", &third, &[target], &[3], &test, 1).unwrap();
    assert_eq!(find_attack(&mut session, &wanted, true).unwrap(), Some(exact));
}

#[test]
fn no_two_models_of_an_attack_share_a_label() {
    let target = |label: &str| Target {
        victim: AttackVictim {
            victim: 0,
            what: Victim::Torchscript { file: "m.pt".into() },
            label: label.into(),
            architecture: String::new(),
            weights: vec![Hash::of(label.as_bytes())],
        },
        model: ModelRequest { members: Vec::new(), channels: 1, side: 2 },
    };
    assert!(check_labels(&[target("m.pt"), target("x/m.pt")]).is_ok());
    for other in ["m.pt", "M.pt"] {
        let error = check_labels(&[target("t1"), target("m.pt"), target(other)]).unwrap_err();
        assert!(error.to_string().contains("two models are called"), "{error}");
    }
}
