//! Checks which crates of the workspace depend on which.

use serde_json::Value;

/// The other members that a member may depend on.
enum Allowed {
    /// These; tests may also use [`TESTING`].
    Only(&'static [&'static str]),
    /// Any: nothing depends on this member.
    Any,
}

/// References for tests, not part of what users build.
const TESTING: &str = "ae-testing";

/// kernels ← model, data ← model ← eval ← cli, and kernels ← eval. A crate that is not listed is a problem, so that new ones
/// are considered.
const MEMBERS: [(&str, Allowed); 8] = [
    ("ae-kernels", Allowed::Only(&[])),
    ("ae-data", Allowed::Only(&[])),
    ("ae-model", Allowed::Only(&["ae-kernels", "ae-data"])),
    ("ae-eval", Allowed::Only(&["ae-kernels", "ae-model", "ae-data"])),
    ("ae-cli", Allowed::Only(&["ae-eval", "ae-model", "ae-data"])),
    (TESTING, Allowed::Only(&[])),
    ("ae-benches", Allowed::Any),
    ("xtask", Allowed::Any),
];

/// Returns the dependencies in `cargo metadata --no-deps` that are not allowed.
pub(super) fn check(metadata: &Value) -> Vec<String> {
    let Some(packages) = metadata["packages"].as_array().filter(|packages| !packages.is_empty()) else {
        return vec!["cargo metadata lists no packages".to_owned()];
    };
    let member = |name: &str| packages.iter().any(|package| package["name"] == name);
    let mut problems = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap_or_default();
        let Some((_, allowed)) = MEMBERS.iter().find(|(known, _)| *known == name) else {
            problems.push(format!("{name}: its dependencies are not declared in xtask's tidy"));
            continue;
        };
        let Allowed::Only(allowed) = allowed else { continue };
        for dependency in package["dependencies"].as_array().into_iter().flatten() {
            let on = dependency["name"].as_str().unwrap_or_default();
            let for_tests = dependency["kind"] == "dev" && on == TESTING;
            if member(on) && !allowed.contains(&on) && !for_tests {
                problems.push(format!("{name} must not depend on {on}"));
            }
        }
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// A workspace of these members with a single dependency `(from, to, kind)`.
    fn workspace((from, to, kind): (&str, &str, Value)) -> Value {
        let package = |name: &str| {
            let dependencies = if name == from { json!([{"name": to, "kind": kind}]) } else { json!([]) };
            json!({"name": name, "dependencies": dependencies})
        };
        json!({"packages": MEMBERS.iter().map(|(name, _)| package(name)).collect::<Vec<_>>()})
    }

    #[test]
    fn edges_as_drawn() {
        for edge in [
            ("ae-model", "ae-kernels", Value::Null),
            ("ae-model", "ae-data", json!("dev")),
            ("ae-cli", "ae-eval", Value::Null),
            ("ae-kernels", "rayon", Value::Null),
            ("ae-kernels", "ae-testing", json!("dev")),
            ("xtask", "ae-testing", Value::Null),
            ("ae-benches", "ae-kernels", Value::Null),
        ] {
            assert_eq!(check(&workspace(edge.clone())), [""; 0], "{edge:?}");
        }
    }

    #[test]
    fn planted_faults_are_found() {
        for (from, to, kind) in [
            ("ae-kernels", "ae-model", Value::Null),
            ("ae-data", "ae-kernels", Value::Null),
            ("ae-kernels", "ae-data", json!("build")),
            ("ae-model", "ae-eval", json!("dev")),
            ("ae-model", "ae-testing", Value::Null),
            ("ae-testing", "ae-kernels", json!("dev")),
            ("ae-data", "xtask", json!("dev")),
            ("ae-eval", "ae-cli", Value::Null),
        ] {
            let expected = [format!("{from} must not depend on {to}")];
            assert_eq!(check(&workspace((from, to, kind))), expected);
        }
        assert_eq!(check(&json!({})).len(), 1);
        let unknown = json!({"packages": [{"name": "ae-new", "dependencies": []}]});
        assert_eq!(check(&unknown).len(), 1);
    }
}
