//! Bad tables with columns of all kinds.

use super::{Case, Path, ae, case, write};

pub(super) const CASES: &[Case] = &[
    case("a column of nothing", "train rows.csv --drop ,", 2, "',' is not a list of columns"),
    case(
        "an unknown column",
        "train kinds.csv --drop colour",
        1,
        "kinds.csv: no column 'colour'; there are 'a', 'kind'",
    ),
    case("a column of two kinds", "train kinds.csv --drop a --numeric a", 1, "column 'a' is given two roles"),
    case(
        "a label that is a category",
        "train kinds.csv --label kind --categorical kind",
        1,
        "'kind' is given two roles",
    ),
    case(
        "nothing left to learn",
        "train kinds.csv --drop a,kind,when,same",
        1,
        "kinds.csv: no column is left to train on",
    ),
    case(
        "texts for numbers",
        "train kinds.csv --numeric kind",
        1,
        "kinds.csv: row 1 (line 2), column 'kind': 'x' is not a number",
    ),
    case(
        "gaps that are refused",
        "train kinds.csv --missing reject",
        1,
        "kinds.csv: row 2, column 'a': the value is missing",
    ),
    case("normal without labels", "train kinds.csv --normal x", 2, "were not provided: --label <COLUMN>"),
    case(
        "normal rows that are none",
        "train kinds.csv --label kind --normal w",
        1,
        "no row has the label 'w' that --normal names",
    ),
    case(
        "quantiles and no rows to learn from",
        "train rows.csv --scale quantile --validation 1",
        2,
        "--validation: 1 is out of range",
    ),
    case(
        "an unknown scaling",
        "train rows.csv --scale rank",
        2,
        "possible values: minmax, common, standard, robust, centre, quantile",
    ),
    case(
        "a table without its columns",
        "score T ab.csv",
        1,
        "ab.csv: columns 'kind', 'when' are missing; unexpected: 'b'",
    ),
    case("a table of another width", "encode T two.csv", 1, "two.csv: "),
    case(
        "text in a numeric column",
        "score T words.csv",
        1,
        "words.csv: row 1 (line 2), column 'a': 'one' is not a number",
    ),
    case(
        "text in a date column",
        "score T days.csv",
        1,
        "row 1, column 'when': 'monday' is not a date or time such as 2024-05-01",
    ),
    case(
        "texts as an array",
        "reconstruct T kinds.csv -o a.npy",
        2,
        "-o a.npy: this format holds numbers only",
    ),
    case(
        "gaps for a model without",
        "reconstruct M rows.csv --fill",
        2,
        "--fill: the model was trained without --missing mask",
    ),
    case(
        "hidden from a model without",
        "evaluate M rows.csv --hide 0.1",
        2,
        "--hide: the model was trained without --missing",
    ),
    case("everything hidden", "evaluate T kinds.csv --hide 1", 2, "--hide: it must be above 0 and below 1"),
    case(
        "a fraction of NaN hidden",
        "evaluate T kinds.csv --hide nan",
        2,
        "--hide: it must be above 0 and below 1",
    ),
    case(
        "normal and anomaly",
        "detect M rows.csv --threshold 1 --label 1 --normal a --anomaly b",
        2,
        "cannot be used with",
    ),
    case(
        "no row but normal ones",
        "detect T kinds.csv --contamination 0.5 --label same --normal z",
        1,
        "every row has the label 'z' that --normal names",
    ),
];

pub(super) fn write_files(folder: &Path) {
    let kinds = "a,kind,when,same\n1,x,2024-05-01,z\n,y,2024-05-02,z\n3,x,2024-05-03,z\n";
    write(folder, "kinds.csv", kinds);
    write(folder, "words.csv", kinds.replace("\n1,", "\none,"));
    write(folder, "days.csv", kinds.replace("2024-05-01", "monday"));
    ae(folder, &["train", "kinds.csv", "--label", "same", "--epochs", "1", "-q", "-o", "kinds.safetensors"]);
}
