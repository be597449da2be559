//! Scalers against their formulas, including columns with missing values, and the inversion of scaling.

#![allow(clippy::unwrap_used, reason = "tests, helpers included")]

use ae_data::{BatchSource, ColumnRoles, Dataset, Schema, Table};
use ae_model::{Activation, Autoencoder, Config, Error, LayerParameters, Scaler, ScalerKind};
use ae_testing::random::SplitMix64;

/// More columns than a scaler processes together. One column is constant, one has a constant middle, and
/// values are missing if requested.
const FEATURES: usize = 20;
const ROWS: usize = 41;

fn table(gaps: bool) -> Dataset {
    let mut values = SplitMix64::new(8).normal_f32s(ROWS * FEATURES);
    for (at, x) in values.iter_mut().enumerate() {
        let (row, column) = (at / FEATURES, at % FEATURES);
        *x = *x * (1 + column) as f32 + 100.0 * column as f32;
        match column {
            3 => *x = 7.5,
            17 => *x = if row < 30 { 4.0 } else { row as f32 },
            _ => {}
        }
        if gaps && (row * 7 + column) % 5 == 0 {
            *x = f32::NAN;
        }
    }
    Dataset::new(values, FEATURES).unwrap()
}

/// The known values of a column, in ascending order.
fn column(data: &Dataset, j: usize) -> Vec<f64> {
    let mut known: Vec<f64> = data.values().iter().skip(j).step_by(FEATURES).map(|x| f64::from(*x)).collect();
    known.retain(|x| !x.is_nan());
    known.sort_unstable_by(f64::total_cmp);
    known
}

/// `numpy.quantile`.
fn quantile(sorted: &[f64], fraction: f64) -> f64 {
    let place = fraction * (sorted.len() - 1) as f64;
    let (low, high) = (sorted[place.floor() as usize], sorted[place.ceil() as usize]);
    low + place.fract() * (high - low)
}

/// Shift and scale of a column with these values.
fn expected(kind: ScalerKind, values: &[f64]) -> [f64; 2] {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let deviation = (values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / count).sqrt();
    let (least, most) = (values[0], values[values.len() - 1]);
    match kind {
        ScalerKind::MinMax => [least, most - least],
        ScalerKind::Standard => [mean, deviation],
        _ => {
            let range = quantile(values, 0.75) - quantile(values, 0.25);
            [quantile(values, 0.5), if range > 0.0 { range } else { deviation }]
        }
    }
}

#[test]
fn shifts_and_scales_are_those_of_the_formulas() {
    for gaps in [false, true] {
        let data = table(gaps);
        for kind in [ScalerKind::MinMax, ScalerKind::Standard, ScalerKind::Robust] {
            let config = Config::builder(FEATURES).scaler(kind).mask_missing(gaps).epochs(1).build().unwrap();
            let mut model = Autoencoder::new(config).unwrap();
            model.fit(&data, &mut []).unwrap();
            let scaler: &Scaler = model.scaler();
            for j in 0..FEATURES {
                let known = column(&data, j);
                let limits = scaler.limits(j).unwrap().map(f64::from);
                assert_eq!(limits, [known[0], known[known.len() - 1]], "{kind:?} {j}");
                let [shift, scale] = expected(kind, &known);
                let near =
                    |found: f64, expected: f64| (found - expected).abs() < 1e-9 * expected.abs().max(1.0);
                assert!(near(scaler.shift()[j], shift), "{kind:?} {j}: {} {shift}", scaler.shift()[j]);
                // A column that does not vary is not divided by zero.
                let found = scaler.scale()[j];
                assert!(
                    if scale == 0.0 { found > 0.0 } else { near(found, scale) },
                    "{kind:?} {j}: {found} {scale}"
                );
            }
        }
    }
}

/// Reconstructions are mapped back by the inverse of the scaling.
#[test]
fn scaling_is_undone_to_the_digit() {
    let data = table(false);
    for kind in [ScalerKind::MinMax, ScalerKind::Standard, ScalerKind::Robust, ScalerKind::Centre] {
        let config = Config::builder(FEATURES).scaler(kind).epochs(2).build().unwrap();
        let mut model = Autoencoder::new(config).unwrap();
        model.fit(&data, &mut []).unwrap();
        let plain = Config::builder(FEATURES).scaler(ScalerKind::None).build().unwrap();
        let unscaled = Autoencoder::from_layers(plain, Scaler::identity(FEATURES), &model.layers()).unwrap();
        let mut values = vec![0.0; ROWS * FEATURES];
        model.scaled(&data).unwrap().read_rows(&(0..ROWS).collect::<Vec<_>>(), &mut values).unwrap();
        let scaled = Dataset::new(values, FEATURES).unwrap();
        let (rebuilt, inner) = (model.reconstruct(&data).unwrap(), unscaled.reconstruct(&scaled).unwrap());
        let scaler = model.scaler();
        for (at, (found, inner)) in rebuilt.values().iter().zip(inner.values()).enumerate() {
            let j = at % FEATURES;
            let expected = f64::from(*inner) * scaler.scale()[j] + scaler.shift()[j];
            assert!(
                (f64::from(*found) - expected).abs() < 1e-5 * expected.abs().max(1.0),
                "{kind:?} {j}: {found} {expected}"
            );
        }
        for (at, (x, scaled)) in data.values().iter().zip(scaled.values()).enumerate() {
            let j = at % FEATURES;
            let expected = (f64::from(*x) - scaler.shift()[j]) / scaler.scale()[j];
            assert!(
                (f64::from(*scaled) - expected).abs() < 1e-5 * expected.abs().max(1.0),
                "{kind:?} {j}: {scaled} {expected}"
            );
        }
    }
}

/// Each round starts from the values that the previous one filled in.
#[test]
fn rounds_of_filling_in_build_on_each_other() {
    let data = table(true);
    let config =
        Config::builder(FEATURES).scaler(ScalerKind::Standard).mask_missing(true).epochs(30).build().unwrap();
    let mut model = Autoencoder::new(config).unwrap();
    model.fit(&data, &mut []).unwrap();
    let gap = |at: usize| data.values()[at].is_nan();
    let with = |filled: &Dataset| {
        // Known values, and reconstructions from the rows so far where values are missing.
        let rebuilt = model.reconstruct(filled).unwrap();
        let rebuilt = model.within_limits(rebuilt).unwrap();
        let value = |at: usize| if gap(at) { rebuilt.values()[at] } else { data.values()[at] };
        Dataset::new((0..ROWS * FEATURES).map(value).collect(), FEATURES).unwrap()
    };
    let rounds: Vec<Dataset> = (1..=3).map(|rounds| model.impute(&data, rounds).unwrap()).collect();
    assert_eq!(rounds[0], with(&data));
    assert_eq!(rounds[1], with(&rounds[0]));
    assert_eq!(rounds[2], with(&rounds[1]));
    assert_ne!(rounds[0], rounds[1]);
}

/// Numbers and times are moved to what occurred in training, whatever the scaler, and nothing else is.
#[test]
fn rows_are_moved_within_the_range_of_the_training_rows() {
    let names = ["size", "kind", "day"].map(str::to_owned).to_vec();
    let columns = [
        ["0.5", "1.5", "", "1"],
        ["a", "b", "a", "a"],
        ["2024-01-01", "2024-01-11", "2024-01-03", "2024-01-05"],
    ];
    let table = Table::new(names, &columns.map(|cells| cells.map(str::to_owned).to_vec())).unwrap();
    let roles = ColumnRoles { categorical: vec!["kind".to_owned()], ..ColumnRoles::default() };
    let schema = Schema::infer(&table, &roles).unwrap();
    let rows = schema.encode(&table, None).unwrap().rows;
    let day = 86_400.0;
    let beyond = [-3.0, -0.5, 1.5, 20.0 * day, 7.0, 2.0, 0.0, -day, 1.25, 0.0, 1.0, 3.0 * day, f32::NAN];
    let beyond = Dataset::new([&beyond[..], &[0.0; 3]].concat(), 4).unwrap();
    for kind in [ScalerKind::None, ScalerKind::Standard, ScalerKind::MinMax, ScalerKind::Common] {
        let config = Config::builder(4).encoding_dim(1).scaler(kind).mask_missing(true).epochs(1);
        let config = config.learning_rate(1e-12).build().unwrap();
        let mut model = Autoencoder::new(config.clone()).unwrap();
        model.set_schema(schema.clone()).unwrap();
        assert_eq!(model.within_limits(beyond.clone()).unwrap().values()[..4], beyond.values()[..4]);
        model.fit(&rows, &mut []).unwrap();
        let moved = model.within_limits(beyond.clone()).unwrap();
        let expected = [0.5, -0.5, 1.5, 10.0 * day, 1.5, 2.0, 0.0, 0.0, 1.25, 0.0, 1.0, 3.0 * day];
        assert_eq!(moved.values()[..12], expected, "{kind:?}");
        assert!(moved.values()[12].is_nan(), "missing values stay missing");
        let again = Autoencoder::from_bytes(&model.to_bytes().unwrap()).unwrap();
        assert_eq!(again.scaler(), model.scaler());
        // Whatever else it is trained on occurred too.
        let more = Dataset::new(vec![9.0, 1.0, 0.0, -day], 4).unwrap();
        let more = more.with_names(schema.feature_names()).unwrap();
        let wider = [Some([0.5, 9.0]), Some([-day, 10.0 * day])];
        let limits = |model: &Autoencoder| [0, 3].map(|j| model.scaler().limits(j));
        let mut next = Autoencoder::warm_start(config, &model).unwrap();
        next.fit(&more, &mut []).unwrap();
        model.partial_fit(&more).unwrap();
        assert_eq!([limits(&next), limits(&model)], [wider; 2], "{kind:?}");
        // Missing values tell nothing, and rows that are refused even less.
        let named = |row: [f32; 4]| {
            Dataset::new(row.to_vec(), 4).unwrap().with_names(schema.feature_names()).unwrap()
        };
        model.partial_fit(&named([f32::NAN, 1.0, 0.0, 0.0])).unwrap();
        let refused = model.partial_fit(&named([-1e30, 1.0, 0.0, 0.0])).unwrap_err();
        assert!(matches!(refused, Error::Overflow { column: 0, .. }), "{refused}");
        assert_eq!(limits(&model), wider, "{kind:?}");
        let mut late = Autoencoder::new(model.config().clone()).unwrap();
        late.partial_fit(&Dataset::new(vec![f32::NAN, 1.0, 0.0, 5.0], 4).unwrap()).unwrap();
        assert_eq!(limits(&late), [None, Some([5.0; 2])], "{kind:?}");
        let again = Autoencoder::from_bytes(&late.to_bytes().unwrap()).unwrap();
        assert_eq!(limits(&again), limits(&late));
        late.partial_fit(&Dataset::new(vec![0.5, 1.0, 0.0, 6.0], 4).unwrap()).unwrap();
        assert_eq!(limits(&late), [Some([0.5; 2]), Some([5.0, 6.0])], "{kind:?}");
        let narrow = Dataset::new(vec![0.0; 3], 3).unwrap();
        assert!(matches!(model.within_limits(narrow), Err(Error::Width { expected: 4, got: 3, .. })));
    }
}

/// Rounds that would change a row ever more are not made.
#[test]
fn rounds_that_lead_away_end() {
    // A missing x becomes y + gain * x.
    let with = |gain: f32| {
        let config =
            Config::builder(2).hidden_dims([]).encoding_dim(2).scaler(ScalerKind::None).mask_missing(true);
        let encoder =
            LayerParameters { inputs: 2, outputs: 2, weights: vec![gain, 0.0, 1.0, 1.0], bias: vec![0.0; 2] };
        let decoder =
            LayerParameters { inputs: 2, outputs: 2, weights: vec![1.0, 0.0, 0.0, 1.0], bias: vec![0.0; 2] };
        let config = config.encoding_activation(Activation::Linear).build().unwrap();
        Autoencoder::from_layers(config, Scaler::identity(2), &[encoder, decoder]).unwrap()
    };
    let data = Dataset::new(vec![f32::NAN, 1.0, 4.0, 5.0, f32::NAN, f32::NAN], 2).unwrap();
    for (gain, by_rounds) in [(0.5, [1.0, 1.5, 1.75]), (3.0, [1.0; 3]), (-2.0, [1.0; 3])] {
        let model = with(gain);
        for (rounds, expected) in (1..).zip(by_rounds) {
            let imputed = model.impute(&data, rounds).unwrap();
            assert_eq!(imputed.values(), [expected, 1.0, 4.0, 5.0, 0.0, 0.0], "{gain}, {rounds} rounds");
        }
    }
}
