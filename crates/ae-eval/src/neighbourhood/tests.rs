//! Compared with scikit-learn 1.9.1 and NumPy 2.4.6, on small tables given by a formula.

use ae_data::Rows;

use super::*;

/// Values that single precision represents exactly, so that distances are the same to the last bit.
fn table(columns: usize, [a, b, c, modulus]: [usize; 4], rows: usize) -> Vec<f32> {
    let value = |i: usize, j: usize| ((a * i * i + b * i * j + c * j + i) % modulus) as f32 / 8.0;
    (0..rows).flat_map(|i| (0..columns).map(move |j| value(i, j))).collect()
}

fn order(values: &[f32], columns: usize) -> NeighbourOrder {
    NeighbourOrder::new(&Rows::new(values, columns).unwrap(), Some(1)).unwrap()
}

/// Rows of five columns, a map unrelated to them, and a related one.
fn three(rows: usize) -> [(Vec<f32>, usize); 3] {
    let x = table(5, [7, 3, 5, 997], rows);
    let far = table(2, [13, 11, 29, 1009], rows);
    let near =
        (0..rows).flat_map(|i| [x[5 * i] + far[2 * i] / 4.0, x[5 * i + 1] - far[2 * i + 1] / 4.0]).collect();
    [(x, 5), (far, 2), (near, 2)]
}

/// Each row twice.
fn twice((values, columns): (Vec<f32>, usize)) -> (Vec<f32>, usize) {
    (values.chunks_exact(columns).flat_map(|row| [row, row].concat()).collect(), columns)
}

/// `(map, k, trustworthiness(x, map), trustworthiness(map, x))`
type Golden = (usize, usize, f64, f64);

fn check(tables: &[(Vec<f32>, usize); 3], golden: &[Golden]) {
    let orders = tables.each_ref().map(|(values, columns)| order(values, *columns));
    for (map, k, trust, continuous) in golden {
        let found = trustworthiness(&orders[0], &orders[*map], *k).unwrap();
        assert!((found - trust).abs() < 1e-12, "map {map}, {k} neighbours: {found}, not {trust}");
        let found = continuity(&orders[0], &orders[*map], *k).unwrap();
        assert!((found - continuous).abs() < 1e-12, "map {map}, {k} neighbours: {found}, not {continuous}");
    }
}

/// `sklearn.manifold.trustworthiness(X, E, n_neighbors=k)` and `(E, X, n_neighbors=k)`.
#[test]
fn as_in_scikit_learn() {
    let golden = [
        (1, 1, 0.4703947368421053, 0.5013157894736842),
        (1, 3, 0.4866666666666667, 0.5473809523809523),
        (1, 5, 0.5575, 0.5809375),
        (1, 12, 0.5614341085271317, 0.5694767441860464),
        (2, 1, 0.8592105263157894, 0.8802631578947369),
        (2, 3, 0.8888095238095238, 0.9071428571428571),
        (2, 5, 0.90515625, 0.9196875),
        (2, 12, 0.9335271317829458, 0.9406007751937985),
        (0, 5, 1.0, 1.0),
    ];
    check(&three(40), &golden);
}

/// Every row occurs twice: for odd k it does not matter which of two equal distances comes first.
#[test]
fn rows_that_are_there_twice_as_in_scikit_learn() {
    let golden = [
        (1, 3, 0.6366666666666667, 0.6861904761904762),
        (1, 5, 0.6290625, 0.6790625),
        (1, 9, 0.6352564102564102, 0.6284188034188034),
        (2, 3, 0.9452380952380952, 0.9357142857142857),
        (2, 5, 0.9434375, 0.9571875),
        (2, 9, 0.9594017094017094, 0.9670940170940171),
    ];
    check(&three(20).map(twice), &golden);
}

/// Points of a grid, whose distances are often equal, compared with the formula and NumPy's stable
/// argsort.
#[test]
fn of_equal_distances_the_first_row_is_nearest() {
    let grid: Vec<f32> = (0..15u8).flat_map(|i| [i % 4, i / 4].map(f32::from)).collect();
    let other: Vec<f32> = (0..15u8).flat_map(|i| [i * 7 % 5, i * 3 % 4].map(f32::from)).collect();
    let golden = [
        (1, 2, 0.48115942028985503, 0.3623188405797102),
        (1, 3, 0.45333333333333337, 0.4666666666666667),
        (1, 5, 0.5104761904761905, 0.5523809523809524),
    ];
    check(&[(grid.clone(), 2), (other, 2), (grid, 2)], &golden);
}

/// `cross_val_score(KNeighborsClassifier(k), E, y, cv=LeaveOneOut()).mean()`, for classes given by the
/// first column.
#[test]
fn accuracy_as_in_scikit_learn() {
    let tables = three(40);
    let labels: Vec<u32> = tables[0].0.chunks_exact(5).map(|row| (row[0] / 42.0) as u32).collect();
    let golden = [(1, [0.85, 0.225, 0.875]), (3, [0.825, 0.275, 0.8]), (5, [0.875, 0.325, 0.825])];
    for (k, expected) in golden {
        for ((values, columns), expected) in tables.iter().zip(expected) {
            let found = knn_accuracy(&order(values, *columns), &labels, k).unwrap();
            assert!((found - expected).abs() < 1e-12, "{k}: {found}, not {expected}");
        }
    }
}

#[test]
fn threads_change_nothing() {
    let [(values, columns), ..] = three(203);
    let rows = Rows::new(&values, columns).unwrap();
    let one = NeighbourOrder::new(&rows, Some(1)).unwrap();
    assert_eq!(one, NeighbourOrder::new(&rows, Some(3)).unwrap());
    assert_eq!((one.rows(), one.of(7).len(), one.of(203).len()), (203, 202, 0));
}

#[test]
fn what_does_not_fit_is_refused() {
    let seven = order(&[0.0, 1.0, 3.0, 6.0, 10.0, 15.0, 21.0], 1);
    let six = order(&[0.0, 1.0, 3.0, 6.0, 10.0, 15.0], 1);
    for k in [0, 4, 7, usize::MAX] {
        assert!(
            matches!(trustworthiness(&seven, &seven, k), Err(EvalError::Neighbours { rows: 7, .. })),
            "{k}"
        );
    }
    assert_eq!(trustworthiness(&seven, &seven, 3).unwrap(), 1.0);
    let error = continuity(&seven, &six, 1).unwrap_err().to_string();
    assert_eq!(error, "expected 7 rows of the map, got 6");
    assert!(matches!(trustworthiness(&six, &seven, 1), Err(EvalError::RowCount { .. })));
    assert!(matches!(knn_accuracy(&seven, &[0; 6], 1), Err(EvalError::RowCount { .. })));
    let error = knn_accuracy(&seven, &[0; 7], 7).unwrap_err().to_string();
    assert_eq!(error, "7 neighbours are out of range: for 7 rows the number must be from 1 to 6");
    assert_eq!(knn_accuracy(&seven, &[0; 7], 6).unwrap(), 1.0);
    for rows in [&six, &seven] {
        // The maximum that the error names is the true one.
        let error = trustworthiness(rows, rows, 4).unwrap_err();
        let EvalError::Neighbours { max, .. } = error else { panic!("{error}") };
        assert!(trustworthiness(rows, rows, max).is_ok() && trustworthiness(rows, rows, max + 1).is_err());
    }
    let of = |values: &[f32]| NeighbourOrder::new(&Rows::new(values, 2).unwrap(), None);
    assert!(matches!(of(&[]), Err(EvalError::Empty { .. })));
    let error = of(&[0.0, 1.0, 2.0, f32::NAN]).unwrap_err().to_string();
    assert!(error.contains("row 2, column 2") && error.contains("NaN"), "{error}");
    // A single row has no neighbours, but is a table.
    assert_eq!(of(&[0.0, 1.0]).unwrap().of(0).len(), 0);
    let many = vec![0.0; 2 * (NeighbourOrder::MAX_ROWS + 1)];
    assert!(matches!(of(&many), Err(EvalError::TooManyRows { .. })));
}
