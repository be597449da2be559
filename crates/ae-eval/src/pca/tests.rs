use ae_data::Rows;
use ae_testing::random::SplitMix64;

use super::*;
use crate::metrics::mse;

fn rows(values: &[f32], features: usize) -> Rows<'_> {
    Rows::new(values, features).unwrap()
}

#[test]
fn a_line_in_the_plane() {
    // (0,0), (1,2), (2,4): all variance along (1,2)/√5, which is 10/3.
    let pca = Pca::fit(&rows(&[0.0, 0.0, 1.0, 2.0, 2.0, 4.0], 2), 1).unwrap();
    let direction = pca.component(0).unwrap();
    assert!((direction[0] - 0.2f64.sqrt()).abs() < 1e-12 && (direction[1] - 0.8f64.sqrt()).abs() < 1e-12);
    assert!((pca.variances()[0] - 10.0 / 3.0).abs() < 1e-12);
    let codes = pca.transform(&rows(&[2.0, 4.0], 2)).unwrap();
    assert!((f64::from(codes.values()[0]) - 5f64.sqrt()).abs() < 1e-6);
    assert!(pca.mse(&rows(&[0.0, 0.0, 1.0, 2.0], 2)).unwrap() < 1e-12);
    // (2, 0) is 1.2 from the line on which (1, 2) is the mean: squared distance 16/5 over two features.
    assert!((pca.mse(&rows(&[2.0, 0.0], 2)).unwrap() - 3.2 / 2.0 * (16.0 / 3.2) / 5.0).abs() < 1e-9);
}

#[test]
fn errors_are_the_discarded_eigenvalues() {
    for (count, features) in [(200, 12), (9, 40), (15, 15)] {
        let values = SplitMix64::new(3).normal_f32s(count * features);
        let table = rows(&values, features);
        let most = count.min(features);
        let all = Pca::fit(&table, most).unwrap();
        for components in [1, 3, most - 1] {
            let pca = Pca::fit(&table, components).unwrap();
            let discarded: f64 = all.variances()[components..].iter().sum();
            let error = pca.mse(&table).unwrap();
            assert!((error - discarded / features as f64).abs() < 1e-9, "{count}x{features}, {components}");
            let truncated = all.truncated(components);
            assert_eq!(truncated.components(), components);
            assert!((truncated.mse(&table).unwrap() - error).abs() < 1e-9);
            let reconstructed = pca.reconstruct(&table).unwrap();
            assert!((mse(&values, reconstructed.values()).unwrap() - error).abs() < 1e-6);
            for (i, j) in [(0, 0), (0, components - 1), (components - 1, components - 1)] {
                let dot: f64 =
                    pca.component(i).unwrap().iter().zip(pca.component(j).unwrap()).map(|(a, b)| a * b).sum();
                assert!((dot - f64::from(u8::from(i == j))).abs() < 1e-9, "orthonormal");
            }
        }
        let variance = crate::mean_variance(&table).unwrap();
        assert!((all.total_variance() / features as f64 - variance).abs() < 1e-9);
    }
}

/// An eigenvector is as good as its negative; the sign must not depend on how it was found.
#[test]
fn the_largest_element_of_a_component_is_positive() {
    for (count, features) in [(50, 6), (6, 50)] {
        for scale in [1.0, 1e8] {
            let mut values = SplitMix64::new(11).normal_f32s(count * features);
            values.iter_mut().step_by(features).for_each(|x| *x *= scale);
            let pca = Pca::fit(&rows(&values, features), 5).unwrap();
            for i in 0..5 {
                let component = pca.component(i).unwrap();
                let largest = component.iter().copied().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap();
                assert!(largest > 0.0, "{count}x{features}, {i}: {component:?}");
            }
        }
    }
}

#[test]
fn impossible_requests_are_errors() {
    let fit = |values: &[f32], features, components| {
        Pca::fit(&rows(values, features), components).unwrap_err().to_string()
    };
    assert_eq!(fit(&[], 2, 1), "there are no values: 0 rows of 2 features");
    assert_eq!(fit(&[1.0; 4], 2, 3), "3 components requested, but 2 rows of 2 features have at most 2");
    assert!(fit(&[1.0; 4], 2, 0).starts_with("0 components"));
    assert!(fit(&[f32::NAN, 1.0, 2.0, f32::INFINITY], 2, 1).starts_with("row 2, column 2: inf"));
    let constant = Pca::fit(&rows(&[3.0; 8], 2), 2).unwrap();
    assert_eq!(constant.mse(&rows(&[3.0; 4], 2)).unwrap(), 0.0);
    assert!(constant.mse(&rows(&[3.0; 3], 3)).is_err(), "another width");
}

/// The published error of 30 components on MNIST, pixels in [0, 1]: 13.87 per image (Hinton &
/// Salakhutdinov 2006).
#[test]
fn mnist_as_published() {
    let folder = std::env::var_os("AE_DATA_DIR").map_or_else(
        || std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data"),
        Into::into,
    );
    let load = |name: &str| ae_data::read(folder.join("mnist").join(name), &Default::default()).ok();
    let sets = (load("train-images-idx3-ubyte.gz"), load("t10k-images-idx3-ubyte.gz"));
    let (Some(train), Some(test)) = sets else {
        println!("skipped: MNIST is absent; AE_DATA_DIR may name the folder that holds mnist/");
        return;
    };
    let pca = Pca::fit(&train, 30).unwrap();
    let error = pca.mse(&test).unwrap() * 784.0 / (255.0 * 255.0);
    assert!((error - 13.866).abs() < 0.002, "{error}");
}

#[test]
fn errors_against_targets() {
    let values: Vec<f32> = (0..60).map(|i| ((i * i) % 17) as f32 * 0.3).collect();
    let (rows, shifted) =
        (Rows::new(&values, 4).unwrap(), values.iter().map(|x| x + 2.0).collect::<Vec<_>>());
    let pca = Pca::fit(&rows, 2).unwrap();
    let reconstructed = pca.reconstruct(&rows).unwrap();
    let expected =
        reconstructed.values().iter().zip(&shifted).map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>()
            / 60.0;
    let found = pca.mse_against(&rows, &Rows::new(&shifted, 4).unwrap()).unwrap();
    assert!((found - expected).abs() < 1e-12 && found > 3.0, "{found} {expected}");
    assert!((pca.mse_against(&rows, &rows).unwrap() - pca.mse(&rows).unwrap()).abs() < 1e-6);
    assert!(pca.mse_against(&rows, &Rows::new(&shifted[..56], 4).unwrap()).is_err());
}

/// Values in [-0.5, 0.5], column 3 times `scale`.
fn with_large_column(count: usize, features: usize, scale: f32) -> Vec<f32> {
    let value = |i: u64, j: u64| {
        let hash = (i * 2_654_435_761 + j * 40_503 * (i + 1) + j * j * 977) % 100_003;
        (hash as f64 / 100_003.0 - 0.5) as f32 * if j == 3 { scale } else { 1.0 }
    };
    (0..count).flat_map(|i| (0..features).map(move |j| value(i as u64, j as u64))).collect()
}

fn is_orthonormal(pca: &Pca) {
    for i in 0..pca.components() {
        for j in 0..=i {
            let (a, b) = (pca.component(i).unwrap(), pca.component(j).unwrap());
            let dot: f64 = a.iter().zip(&b).map(|(a, b)| a * b).sum();
            let difference = (dot - f64::from(u8::from(i == j))).abs();
            assert!(difference < 1e-9, "{i} and {j}: {dot}");
        }
    }
}

/// Expected values from NumPy: singular values of the other columns, from which column 3 has been
/// regressed out.
#[test]
fn small_variances_beside_a_large_one() {
    for (count, features, components, second, last, error) in [
        (20, 40, 5, 0.3603337415366943, 0.2690423364375051, 0.0428293461319841),
        (8, 12, 3, 0.24099698263230104, 0.15963489698121933, 0.01683433062220777),
        (500, 8, 3, 0.09295685925308386, 0.08745357733049966, 0.05002120648633923),
        (1500, 70, 40, 0.11395627823441666, 0.08151079319868172, 0.03076099973194733),
    ] {
        for scale in [1e8, 1e9] {
            let values = with_large_column(count, features, scale);
            let table = rows(&values, features);
            let pca = Pca::fit(&table, components).unwrap();
            let near = |found: f64, expected: f64| {
                assert!((found / expected - 1.0).abs() < 1e-6, "{count}x{features}: {found} {expected}");
            };
            near(pca.variances()[1], second);
            near(pca.variances()[components - 1], last);
            near(pca.mse(&table).unwrap(), error);
            let reconstructed = pca.reconstruct(&table).unwrap();
            near(mse(&values, reconstructed.values()).unwrap(), error);
            is_orthonormal(&pca);
            // The same rows in blocks, from a source without a slice.
            let far = ae_data::Subset::new(&table, (0..count).collect()).unwrap();
            assert_eq!(Pca::fit(&far, components).unwrap().variances(), pca.variances());
        }
    }
}

#[test]
fn a_low_rank_and_a_little_noise() {
    for (count, features) in [(30, 60), (60, 30)] {
        let mut draws = SplitMix64::new(5);
        let (left, right) = (draws.normal_f32s(count * 5), draws.normal_f32s(5 * features));
        let noise = draws.normal_f32s(count * features);
        let product =
            |i: usize, j: usize| (0..5).map(|k| left[i * 5 + k] * right[k * features + j]).sum::<f32>();
        let values: Vec<f32> = (0..count * features)
            .map(|at| product(at / features, at % features) + 1e-6 * noise[at])
            .collect();
        let table = rows(&values, features);
        let pca = Pca::fit(&table, 12).unwrap();
        is_orthonormal(&pca);
        // Twelve components leave a smaller error than five, and it is the one that the variances
        // predict.
        let all = Pca::fit(&table, 30).unwrap();
        is_orthonormal(&all);
        let discarded: f64 = all.variances()[12..].iter().sum::<f64>() / features as f64;
        let error = pca.mse(&table).unwrap();
        assert!((error / discarded - 1.0).abs() < 1e-6, "{error} {discarded}");
        assert!(error < all.truncated(5).mse(&table).unwrap() && error > 0.0);
    }
}

/// Both decompositions of ordinary rows, in several blocks and panels.
#[test]
fn both_decompositions_agree() {
    for (count, features) in [(2100, 70), (40, 90)] {
        let values = SplitMix64::new(7).normal_f32s(count * features);
        let table = rows(&values, features);
        let components = 10;
        let plain = Pca::fit(&table, components).unwrap();
        let order: Vec<usize> = (0..features).rev().collect();
        let directions = if count < features {
            let all = all_centred(&table, &plain.mean).unwrap();
            SingularDirections::from_wide(&all.select_columns(&order)).unwrap()
        } else {
            let mut triangle = TriangularFactor::new(features);
            for_each_block(&table, |block| {
                triangle.add(centred(block, &plain.mean).select_columns(&order));
            })
            .unwrap();
            SingularDirections::from_triangle(triangle).unwrap()
        };
        let (vectors, variances, total) = leading_components(directions, &order, components, count);
        assert!((total / plain.total_variance() - 1.0).abs() < 1e-12);
        for i in 0..components {
            assert!((variances[i] / plain.variances()[i] - 1.0).abs() < 1e-11, "{count}: {i}");
            let dot = plain.components.column(i).dot(&vectors.column(i));
            assert!((dot.abs() - 1.0).abs() < 1e-11, "{count}: {i}: {dot}");
        }
    }
}

/// Beyond the rank there are directions too.
#[test]
fn directions_without_variance() {
    let one = Pca::fit(&rows(&[1.0, 5.0, 2.0], 3), 1).unwrap();
    is_orthonormal(&one);
    assert_eq!((one.variances(), one.component(1)), (&[0.0][..], None));
    let few = SplitMix64::new(2).normal_f32s(9 * 40);
    let all = Pca::fit(&rows(&few, 40), 9).unwrap();
    is_orthonormal(&all);
    assert!(all.variances()[7] > 0.1 && all.variances()[8] < 1e-12);
    for (count, features) in [(6usize, 10usize), (10, 6)] {
        // Two varying columns and copies of them.
        let value = |at: usize| {
            let row = at / features;
            (if at.is_multiple_of(2) { row } else { row * row % 7 }) as f32
        };
        let values: Vec<f32> = (0..count * features).map(value).collect();
        for values in [values, vec![3.0; count * features]] {
            let table = rows(&values, features);
            let pca = Pca::fit(&table, 6).unwrap();
            is_orthonormal(&pca);
            assert!(pca.mse(&table).unwrap() < 1e-24);
            assert_eq!((pca.truncated(2).component(2), pca.component(usize::MAX)), (None, None));
        }
    }
}

#[test]
fn an_infinite_value_is_named() {
    for (count, features) in [(5, 3), (3, 5), (3000, 3)] {
        for wrong in [f32::NEG_INFINITY, f32::INFINITY] {
            let mut values = SplitMix64::new(1).normal_f32s(count * features);
            values[(count - 1) * features + 1] = wrong;
            let error = Pca::fit(&rows(&values, features), 1).unwrap_err();
            let EvalError::Model(ae_model::Error::NotFinite { row, column, .. }) = error else {
                panic!("{error}");
            };
            assert_eq!((row, column), (count - 1, 1));
        }
    }
}

#[test]
fn rows_of_another_shape() {
    let pca = Pca::fit(&rows(&[0.0, 1.0, 2.0, 5.0, 1.0, 1.0], 2), 1).unwrap();
    let said = |values: &[f32], features| pca.mse(&rows(values, features)).unwrap_err().to_string();
    assert_eq!(said(&[1.0; 6], 3), "expected rows of 2 features, got 3");
    assert_eq!(said(&[], 2), "there are no values: 0 rows of 2 features");
    let error = pca.mse_against(&rows(&[1.0; 6], 2), &rows(&[1.0; 4], 2)).unwrap_err();
    assert_eq!(error.to_string(), "expected 3 rows of the targets, got 2");
}

#[test]
fn coordinates_decode_to_the_reconstructions() {
    // More rows than are read at a time.
    let count = crate::blocks::BLOCK + 30;
    let values = SplitMix64::new(4).normal_f32s(count * 5);
    let names: Vec<String> = ["a", "b", "c", "d", "e"].map(str::to_owned).into();
    let table = Dataset::new(values.clone(), 5).unwrap().with_names(names.clone()).unwrap();
    for components in [1, 3, 5] {
        let pca = Pca::fit(&table, components).unwrap();
        let codes = pca.transform(&table).unwrap();
        assert_eq!((codes.rows(), codes.features()), (count, components));
        let (decoded, expected) = (pca.inverse_transform(&codes).unwrap(), pca.reconstruct(&table).unwrap());
        assert_eq!(expected.names(), Some(&names[..]));
        assert!(decoded.values().iter().zip(expected.values()).all(|(x, y)| (x - y).abs() < 1e-5));
        // All components lose nothing.
        let close = expected.values().iter().zip(&values).all(|(x, y)| (x - y).abs() < 1e-5);
        assert_eq!(close, components == 5);
        let wide = pca.inverse_transform(&rows(&vec![0.0; 2 * (components + 1)], components + 1));
        assert!(matches!(wide, Err(EvalError::Width { expected, .. }) if expected == components));
    }
}

/// A missing value is at the mean of its feature: it moves no component, and its error does not count.
#[test]
fn missing_values_are_at_the_mean() {
    for (count, features) in [(60, 4), (5, 9)] {
        let mut values = SplitMix64::new(5).normal_f32s(count * features);
        values[features + 2] = f32::NAN;
        let known = (0..count).filter(|row| *row != 1).map(|row| values[row * features + 2]);
        let mean = known.map(f64::from).sum::<f64>() / (count - 1) as f64;
        let mut filled = values.clone();
        filled[features + 2] = mean as f32;
        let (table, filled) = (rows(&values, features), rows(&filled, features));
        let (pca, expected) = (Pca::fit(&table, 2).unwrap(), Pca::fit(&filled, 2).unwrap());
        for i in 0..2 {
            let (found, wanted) = (pca.component(i).unwrap(), expected.component(i).unwrap());
            assert!(found.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?} {wanted:?}");
        }
        let reconstructed = expected.reconstruct(&filled).unwrap();
        let pairs = values.iter().zip(reconstructed.values()).filter(|(x, _)| !x.is_nan());
        let squares = pairs.map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>();
        let wanted = squares / (values.len() - 1) as f64;
        assert!((pca.mse(&table).unwrap() - wanted).abs() < 1e-6, "{count}x{features}");
        assert!((pca.mse_against(&table, &table).unwrap() - wanted).abs() < 1e-6, "{count}x{features}");
    }
}
