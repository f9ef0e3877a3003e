//! Transformations: identities, definitions, and what they leave alone.
#![allow(clippy::cast_possible_truncation, reason = "small numbers")]

use super::*;

fn picture(channels: usize, side: usize) -> Vec<u8> {
    let mut chance = Stream::new(5, "picture", 0);
    (0..channels * side * side).map(|at| ((at * 3 % 200) as u64 + chance.below(56)) as u8).collect()
}

fn done(transform: &dyn Transform, values: &[u8], channels: usize, repeat: u16) -> Vec<u8> {
    let side = (values.len() / channels).isqrt();
    let mut chance = chance(7, transform, repeat, 12);
    transform.apply(Image { values, channels, side }, &mut chance)
}

#[test]
fn where_a_family_has_an_identity_nothing_changes() {
    for channels in [1, 3] {
        let values = picture(channels, 12);
        assert_eq!(done(&Identity, &values, channels, 0), values);
        for family in FAMILIES {
            let Some(identity) = family.identity else { continue };
            let transform = family.with(identity).unwrap();
            assert_eq!(done(&*transform, &values, channels, 0), values, "{}", family.name);
        }
    }
}

#[test]
fn every_point_of_every_grid_works_and_is_found_again_by_name() {
    for (channels, side) in [(1, 28), (3, 9), (2, 1), (1, 2)] {
        let values = picture(channels, side);
        for family in FAMILIES {
            for &parameter in family.grid {
                assert_ne!(Some(parameter), family.identity);
                let transform = family.with(parameter).unwrap();
                assert_eq!((transform.name(), transform.parameter()), (family.name, parameter));
                let first = done(&*transform, &values, channels, 0);
                assert_eq!(first.len(), values.len());
                let again = named(family.name, parameter).unwrap();
                assert_eq!(done(&*again, &values, channels, 0), first, "{again:?}");
                if side > 8 {
                    let other = done(&*transform, &values, channels, 1);
                    assert_eq!(other != first, transform.is_random(), "{transform:?}");
                }
                let table: toml::Table = text(&*transform).parse().unwrap();
                assert_eq!(table["parameter"].as_float(), Some(parameter));
                assert_eq!(transform.is_random(), matches!(family.name, "noise" | "camera"));
            }
            assert!(family.with(f64::NAN).is_none() && family.with(1e9).is_none());
        }
    }
    assert!(named("sepia", 1.0).is_none());
}

#[test]
fn brightness_and_contrast_are_their_formulas() {
    let values = [0, 1, 127, 128, 200, 255];
    let apply = |transform: &dyn Transform| {
        let image = Image { values: &values, channels: 6, side: 1 };
        transform.apply(image, &mut Stream::new(0, "", 0))
    };
    assert_eq!(apply(&Brightness(64.0)), [64, 65, 191, 192, 255, 255]);
    assert_eq!(apply(&Brightness(-2.0)), [0, 0, 125, 126, 198, 253]);
    // 128 + 0.5 (1 - 128) = 64.5 and 127.5: half to even.
    assert_eq!(apply(&Contrast(0.5)), [64, 64, 128, 128, 164, 192]);
    assert_eq!(apply(&Contrast(2.0)), [0, 0, 126, 128, 255, 255]);
}

#[test]
fn blur_keeps_what_is_flat_and_spreads_a_point_evenly() {
    assert_eq!(done(&Blur(1.5), &[90; 49], 1, 0), [90; 49]);
    let mut point = vec![0; 81];
    point[40] = 255;
    let spread = done(&Blur(1.0), &point, 1, 0);
    let peak =
        255.0 * (1.0 + 2.0 * ((-0.5_f64).exp() + (-2.0_f64).exp() + (-4.5_f64).exp())).powi(-2);
    assert_eq!(f64::from(spread[40]), peak.round());
    assert_eq!([spread[39], spread[31], spread[49]], [spread[41]; 3]);
    assert_eq!(spread[40 + 4], 0, "radius ceil(3 sigma) = 3");
    // The border is mirrored without repeating it: of two pixels each sees the other twice.
    let two = done(&Blur(0.25), &[0, 255, 0, 255], 1, 0);
    let weight = (-0.5_f64 * 16.0).exp();
    let expected = 255.0 * 2.0 * weight / (1.0 + 2.0 * weight);
    assert_eq!(f64::from(two[0]), expected.round());
}

#[test]
fn noise_has_its_deviation_and_is_the_same_for_every_model() {
    let values = vec![128; 100 * 100];
    let noisy = done(&Noise(16.0), &values, 1, 0);
    let mean = noisy.iter().map(|&v| f64::from(v)).sum::<f64>() / 1e4;
    let variance = noisy.iter().map(|&v| (f64::from(v) - mean).powi(2)).sum::<f64>() / 1e4;
    // Standard errors: 0.16 of the mean, 3.6 of the variance (256 and 1/12 of rounding).
    assert!((mean - 128.0).abs() < 0.8 && (variance - 256.1).abs() < 18.0, "{mean} {variance}");
    assert_eq!(done(&Noise(16.0), &values, 1, 0), noisy);
}

#[test]
fn jpeg_loses_more_the_lower_its_quality_and_keeps_what_is_flat() {
    for channels in [1, 3] {
        let values = picture(channels, 32);
        let error = |quality| {
            let jpeg = Jpeg::new(quality, Subsampling::None).unwrap();
            let decoded = done(&jpeg, &values, channels, 0);
            values.iter().zip(&decoded).map(|(a, b)| u32::from(a.abs_diff(*b)).pow(2)).sum::<u32>()
        };
        let errors = [100.0, 75.0, 25.0].map(error);
        assert!(errors[0] < errors[1] && errors[1] < errors[2], "{errors:?}");
        assert!(errors[0] < 4 * values.len() as u32, "{errors:?}");
        let flat = vec![128; values.len()];
        assert_eq!(done(&Jpeg::new(50.0, Subsampling::Half).unwrap(), &flat, channels, 0), flat);
    }
    assert!(
        Jpeg::new(0.0, Subsampling::None).is_none() && Jpeg::new(9.5, Subsampling::None).is_none()
    );
}

#[test]
fn channels_keep_their_places_through_jpeg() {
    let values = [[200_u8; 64], [30; 64], [90; 64]].concat();
    let decoded = done(&Jpeg::new(100.0, Subsampling::None).unwrap(), &values, 3, 0);
    assert!(values.iter().zip(&decoded).all(|(a, b)| a.abs_diff(*b) <= 2), "{decoded:?}");
}

#[test]
fn a_simulated_shot_changes_more_the_stronger_it_is() {
    let values = picture(3, 32);
    let mut errors = Vec::new();
    for strength in [0.5, 1.0, 2.0] {
        let shot = done(&Camera(strength), &values, 3, 0);
        let error: u32 = values.iter().zip(&shot).map(|(a, b)| u32::from(a.abs_diff(*b))).sum();
        errors.push(error);
    }
    assert!(errors.is_sorted() && errors[0] > 0, "{errors:?}");
    assert!(Camera(1.0).definition().starts_with("simulation"));
    // A picture of one colour stays about that, but for light, noise and gamma.
    let flat = done(&Camera(0.5), &[128; 1024], 1, 0);
    assert!(flat.iter().all(|v| v.abs_diff(128) < 45), "{flat:?}");
}
