//! `ae evaluate --reference`: the rows that the mean, PCA and classifiers are fitted to.

use super::*;

const MODEL: &str = "m.safetensors";

fn number(object: &Value, pointer: &str) -> f64 {
    object.pointer(pointer).and_then(Value::as_f64).unwrap_or_else(|| panic!("{pointer} in {object}"))
}

/// The reference varies only in its first column, so its principal component is that column.
#[test]
fn mean_and_components_are_those_of_the_reference() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    write(at, "reference.csv", "x,y,z\n0,1,2\n1,1,2\n2,1,2\n5,1,2\n");
    write(at, "data.csv", "x,y,z\n1,0,0\n3,2,1\n0,1,4\n");
    // Without scaling, errors are in the units of the values.
    let train = ["train", "data.csv", "--scale", "none", "--hidden", "none", "--encoding-dim", "1"];
    ae(at, &[&train[..], &["--epochs", "1", "--validation", "0", "-q", "-o", MODEL]].concat());
    let evaluate =
        |more: &[&str]| ae(at, &[&["evaluate", MODEL, "data.csv", "--json"], more].concat()).summary();

    let found = evaluate(&["--reference", "reference.csv"]);
    assert_eq!((&found["reference"], &found["reference_rows"]), (&"reference.csv".into(), &4.into()));
    // From (2, 1, 2), squared distances are 1 + 1 + 4, 1 + 1 + 1 and 4 + 0 + 4; the component explains
    // x.
    assert!((number(&found, "/mean_mse") - 17.0 / 9.0).abs() < 1e-6, "{found}");
    assert!((number(&found, "/pca_mse") - 11.0 / 9.0).abs() < 1e-6, "{found}");

    let alone = evaluate(&[]);
    assert_eq!((&alone["reference"], &alone["reference_rows"]), (&Value::Null, &3.into()));
    // From (4/3, 1, 5/3): 42/9 of x, 2 of y and 78/9 of z.
    assert!((number(&alone, "/mean_mse") - 46.0 / 27.0).abs() < 1e-6, "{alone}");
    assert!(number(&alone, "/pca_mse") < 11.0 / 9.0);
}

/// Classes are matched by name. The data lack one of the reference's and have one that is not in it.
#[test]
fn classes_of_the_reference_are_found_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    // Three clusters at the corners of a triangle.
    let row = |corner: usize, i: usize, label: &str| {
        let cells: Vec<String> = (0..3)
            .map(|j| (f64::from(u8::from(j == corner)) + 0.01 * ((i + j) % 4) as f64).to_string())
            .collect();
        format!("{},{label}\n", cells.join(","))
    };
    let reference: String = (0..24).map(|i| row(i % 3, i, ["a", "b", "c"][i % 3])).collect();
    write(at, "reference.csv", format!("x,y,z,kind\n{reference}"));
    let data = [(1, "b"), (2, "c"), (1, "b"), (2, "c"), (1, "d")];
    let data: String = data.iter().enumerate().map(|(i, (corner, label))| row(*corner, i, label)).collect();
    write(at, "data.csv", format!("x,y,z,kind\n{data}"));
    let train = ["train", "reference.csv", "--label", "kind", "--encoding-dim", "2", "--epochs", "2", "-q"];
    ae(at, &[&train[..], &["-o", MODEL]].concat());
    let evaluate =
        ["evaluate", MODEL, "data.csv", "--label", "kind", "--reference", "reference.csv", "--json"];
    let found = ae(at, &evaluate).summary();
    // Four of the five rows.
    for of in ["rows", "pca"] {
        assert_eq!(number(&found, &format!("/probe/{of}")), 0.8, "{of}");
    }
    assert_eq!(number(&found, "/probe/classes"), 3.0);
}
