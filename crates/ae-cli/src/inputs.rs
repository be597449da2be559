//! Reading rows that fit a model, and checking outputs before any work is done.

use std::path::{Path, PathBuf};

use ae_data::{DataError, Dataset, Format, Missing, ReadOptions, Schema, Table};
use ae_eval::EvalError;
use ae_eval::anomaly::Detector;
use ae_model::{Autoencoder, Error, FileErrorKind, Image};

use crate::args::DataArgs;
use crate::failure::{Failure, chain, notation_hint};
use crate::output::Output;
use crate::pictures::{self, ImageFolder};
use crate::tables;

/// The format of a file, by its name; `None` for anything else.
fn file_format(location: &Path) -> Option<Format> {
    Format::of(location).ok().filter(|_| ae_data::folder(location).is_none())
}

/// Whether the format at this location can have a column of row ids.
pub(crate) fn supports_row_ids(location: &Path) -> bool {
    let format = file_format(location);
    location == Path::new("-") || matches!(format, Some(Format::Csv | Format::Tsv | Format::Parquet))
}

/// Translates the flags to options for reading `location`; missing values are NaN if `allow_missing`,
/// else an error. Prints a remark for each flag that has no effect there.
pub(crate) fn options(location: &str, args: &DataArgs, allow_missing: bool, out: &Output) -> ReadOptions {
    let format = file_format(Path::new(location));
    let has_cells = location == "-" || matches!(format, Some(Format::Csv | Format::Tsv));
    for (flag, given, of_use) in [
        ("--array", args.array.is_some(), format == Some(Format::Npz)),
        ("--id", args.id.is_some(), supports_row_ids(Path::new(location))),
        ("--delimiter", args.delimiter.is_some(), has_cells),
        ("--decimal", args.decimal.is_some(), has_cells),
        ("--thousands", args.thousands.is_some(), has_cells),
        ("--na-values", args.na_values.is_some(), has_cells),
        ("--header", args.header, has_cells),
        ("--no-header", args.no_header, has_cells),
    ] {
        if given && !of_use {
            out.note(format!("{location}: {flag} has no effect on this input"));
        }
    }
    let mut options = ReadOptions::default();
    options.delimiter = args.delimiter;
    (options.decimal, options.thousands) = (args.decimal, args.thousands);
    options.missing_texts = args.na_values.clone().map(|texts| texts.0).unwrap_or_default();
    options.header = match (args.header, args.no_header) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    options.label.clone_from(&args.label);
    options.id.clone_from(&args.id);
    options.array.clone_from(&args.array);
    options.missing = if allow_missing { Missing::Keep } else { Missing::Reject };
    options
}

/// Reads rows of numbers, or a folder of images, resized to `image` if given. If columns other than the
/// `wanted` ones hold text, reads only the `wanted` columns.
fn read(
    location: &str,
    args: &DataArgs,
    (allow_missing, image): (bool, Option<Image>),
    wanted: Option<&[String]>,
    out: &Output,
) -> Result<Dataset, Failure> {
    let mut options = options(location, args, allow_missing, out);
    match ae_data::folder(location) {
        Some(folder) => {
            options.threads = out.threads();
            options.image = image.map(pictures::size);
            let images = pictures::read(folder, &options, out).map_err(|error| match error {
                DataError::ImageSizes { .. } => Failure::Other(format!(
                    "{error}; a model that was trained with --image resizes all images"
                )),
                error => error.into(),
            });
            Ok(images?.rows)
        }
        None => match (ae_data::read(location, &options), wanted) {
            // Standard input cannot be read again.
            (Err(error), Some(wanted))
                if location != "-"
                    && let Some(column) = other_column(&error, wanted) =>
            {
                options.columns = Some(wanted.to_vec());
                let rows = ae_data::read(location, &options).map_err(|_| error)?;
                out.note(format!(
                    "{location}: columns that the model does not know are left out, {column} among them"
                ));
                Ok(rows)
            }
            (rows, _) => Ok(rows?),
        },
    }
}

/// The column that the error says is not numeric, unless it is one of the `wanted` ones.
fn other_column(error: &DataError, wanted: &[String]) -> Option<String> {
    let column = match error {
        DataError::NotANumber { column, .. } => column.as_str(),
        DataError::UnsupportedType { array, .. } => array.strip_prefix("column ")?,
        _ => return None,
    };
    (!wanted.iter().any(|name| column == format!("'{name}'"))).then(|| column.to_owned())
}

/// Adds to an error about training rows which flags may help.
pub(crate) fn with_hint(error: DataError) -> Failure {
    if let DataError::ImageSizes { expected: (height, width), .. } = error {
        return Failure::Other(format!("{error}; --image {height}x{width} resizes them all"));
    }
    match &error {
        DataError::MissingValue { .. } => {
            Failure::Other(format!("{error}; --missing mask leaves it out of the loss"))
        }
        DataError::NotANumber { text, .. } if notation_hint(text).is_empty() => Failure::Other(format!(
            "{error}; --categorical treats a column as categories, --drop leaves it out, and --na-values '{text}' reads this \
             text as a missing value"
        )),
        DataError::UnsupportedType { array, .. } if array.starts_with("column ") => {
            Failure::Other(format!("{error}; --drop leaves it out"))
        }
        _ => error.into(),
    }
}

/// Reads rows for a model.
///
/// Images in a folder are resized to the model's image size. Columns are read by the model's schema if
/// it has one; else they are matched by name if both sides have names, or by position.
pub(crate) fn read_for(
    model: &Autoencoder,
    location: &str,
    args: &DataArgs,
    out: &Output,
) -> Result<Dataset, Failure> {
    read_images_for(model, model.config().image(), location, args, out)
}

/// [`read_for`] with images of a folder resized to `image` instead of the model's own size.
pub(crate) fn read_images_for(
    model: &Autoencoder,
    image: Option<Image>,
    location: &str,
    args: &DataArgs,
    out: &Output,
) -> Result<Dataset, Failure> {
    if let Some(schema) = model.schema() {
        return Ok(read_table_for(model, schema, location, args, out)?.0);
    }
    let how = (model.config().mask_missing(), image);
    let rows = read(location, args, how, model.feature_names(), out)?;
    match_columns(model, rows, location, out)
}

/// [`read_images_for`] for a second set of rows, read with the same flags as the first.
///
/// It may lack the `--id` column and, if `labels_optional`, the `--label` column.
pub(crate) fn read_companion(
    model: &Autoencoder,
    image: Option<Image>,
    (location, args): (&str, &DataArgs),
    labels_optional: bool,
    out: &Output,
) -> Result<Dataset, Failure> {
    let mut rows = read_images_for(model, image, location, args, out);
    // Standard input cannot be read again.
    if location == "-" {
        return rows;
    }
    let (ids_optional, labels_optional) = (args.id.is_some(), args.label.is_some() && labels_optional);
    let keeping = |id: bool, label: bool| DataArgs {
        id: args.id.clone().filter(|_| id),
        label: args.label.clone().filter(|_| label),
        ..args.clone()
    };
    for (is_optional, args) in [
        (ids_optional, keeping(false, true)),
        (labels_optional, keeping(true, false)),
        (ids_optional && labels_optional, keeping(false, false)),
    ] {
        if rows.is_err() && is_optional {
            rows = read_images_for(model, image, location, &args, out).or(rows);
        }
    }
    rows
}

/// Matches rows of numbers to the columns of a model without a schema: by name if both sides have names,
/// else by position.
fn match_columns(
    model: &Autoencoder,
    rows: Dataset,
    location: &str,
    out: &Output,
) -> Result<Dataset, Failure> {
    let Some(wanted) = model.feature_names() else { return Ok(rows) };
    let Some(present) = rows.names() else {
        if rows.features() == wanted.len() {
            out.note(no_names(location));
        }
        return Ok(rows);
    };
    let present = present.to_vec();
    select_wanted(rows, &present, wanted, location, out)
}

/// Reads rows for a model with a schema. Returns its features and the table that they come from.
pub(crate) fn read_table_for(
    model: &Autoencoder,
    schema: &Schema,
    location: &str,
    args: &DataArgs,
    out: &Output,
) -> Result<(Dataset, Table), Failure> {
    let allow_missing = model.config().mask_missing();
    let mut options = options(location, args, allow_missing, out);
    options.columns = Some(schema.features().map(|column| column.name.clone()).collect());
    let table = ae_data::read_table(location, &options)?;
    let rows = tables::encode(schema, &table, args, allow_missing, out).map_err(|error| match error {
        error @ DataError::NoNames { .. } => Failure::Other(format!("{location}: {error}")),
        error => error.into(),
    })?;
    if table.names().is_none() {
        out.note(no_names(location));
    }
    Ok((rows, table))
}

fn no_names(location: &str) -> String {
    format!("{location} has no column names: its columns are matched to the model's by position")
}

/// A table of numbers as text, with the column of each feature of a model.
pub(crate) struct TextTable {
    pub(crate) table: Table,
    pub(crate) columns: Vec<usize>,
}

/// Reads rows for a model without a schema, along with their original texts if the format has texts.
pub(crate) fn read_text_table_for(
    model: &Autoencoder,
    location: &str,
    args: &DataArgs,
    out: &Output,
) -> Result<(Dataset, Option<TextTable>), Failure> {
    let options = options(location, args, model.config().mask_missing(), out);
    let as_texts = location == "-" || Format::of(Path::new(location)).is_ok_and(Format::holds_text);
    if !as_texts || ae_data::folder(location).is_some() {
        return Ok((read_for(model, location, args, out)?, None));
    }
    let (rows, table) = ae_data::read_with_table(location, &options)?;
    let rows = match_columns(model, rows, location, out)?;
    let Some(table) = table else { return Ok((rows, None)) };
    let columns = match (model.feature_names(), table.names()) {
        (Some(wanted), Some(present)) => {
            wanted.iter().filter_map(|name| present.iter().position(|present| present == name)).collect()
        }
        _ => {
            let non_features = [&args.label, &args.id].into_iter().flatten();
            let non_features = non_features.map(|name| table.find(name)).collect::<Result<Vec<_>, _>>()?;
            (0..table.columns()).filter(|column| !non_features.contains(column)).collect()
        }
    };
    Ok((rows, Some(TextTable { table, columns })))
}

/// Reads the targets of the rows of `location`: one row for each, of the same width.
///
/// Columns are matched by name if the names are the same, else by position. The label column may be
/// missing. `how` says whether values may be missing, and the size of images.
pub(crate) fn read_targets(
    rows: &Dataset,
    location: &str,
    target: &str,
    args: &DataArgs,
    how: (bool, Option<Image>),
    out: &Output,
) -> Result<Dataset, Failure> {
    let targets = match read(target, args, how, rows.names(), out) {
        Err(failure) if args.label.is_some() && target != "-" => {
            let plain = DataArgs { label: None, ..args.clone() };
            read(target, &plain, how, rows.names(), out).map_err(|_| failure)?
        }
        targets => targets?,
    };
    let targets = match (rows.names(), targets.names()) {
        (Some(wanted), Some(present)) if wanted == present => targets,
        (Some(wanted), Some(present)) if wanted.iter().all(|name| present.contains(name)) => {
            targets.select_columns(wanted)?
        }
        // By position, under the names of the inputs.
        (Some(wanted), Some(_)) if wanted.len() == targets.features() => {
            targets.with_names(wanted.to_vec())?
        }
        _ => targets,
    };
    let ([rows_of, width], [targets_of, other]) =
        ([rows.rows(), rows.features()], [targets.rows(), targets.features()]);
    if (rows_of, width) != (targets_of, other) {
        return Err(Failure::Other(format!(
            "{location} has {rows_of} rows of {width} values, but --target {target} has {targets_of} rows of {other}: \
             they must have the same shape"
        )));
    }
    let stem = |name: &String| Path::new(name).with_extension("");
    if let (Some(files), Some(others)) = (rows.row_ids(), targets.row_ids())
        && let Some((file, other)) = files.iter().zip(others).find(|(file, other)| stem(file) != stem(other))
    {
        return Err(Failure::Other(format!(
            "{file} in {location} would be paired with {other} in --target {target}: both folders need the same file names"
        )));
    }
    Ok(targets)
}

/// Refuses to read more than one of these arguments from standard input; names those that clash.
pub(crate) fn check_standard_input(arguments: &[(&str, Option<&str>)]) -> Result<(), Failure> {
    let clashing = arguments.iter().filter(|(_, location)| *location == Some("-"));
    let clashing: Vec<&str> = clashing.map(|(name, _)| *name).collect();
    if clashing.len() < 2 {
        return Ok(());
    }
    Err(Failure::Usage(format!("{}: standard input can be read only once", clashing.join(" and "))))
}

/// Reads encodings. Columns are matched by name if they are named as by `ae encode`, else by position.
pub(crate) fn read_codes(
    model: &Autoencoder,
    location: &str,
    args: &DataArgs,
    out: &Output,
) -> Result<Dataset, Failure> {
    let wanted = code_names(model);
    let codes = read(location, args, (false, None), Some(&wanted), out)?;
    match codes.names().map(<[String]>::to_vec) {
        Some(present) if wanted.iter().all(|name| present.contains(name)) => {
            select_wanted(codes, &present, &wanted, location, out)
        }
        _ => Ok(codes),
    }
}

/// The column names of encodings.
pub(crate) fn code_names(model: &Autoencoder) -> Vec<String> {
    (0..model.config().encoding_dim()).map(|i| format!("code_{i}")).collect()
}

/// Selects the `wanted` columns, in that order, and remarks on the others.
fn select_wanted(
    rows: Dataset,
    present: &[String],
    wanted: &[String],
    location: &str,
    out: &Output,
) -> Result<Dataset, Failure> {
    if present == wanted {
        return Ok(rows);
    }
    let extra: Vec<&str> = present.iter().filter(|name| !wanted.contains(name)).map(String::as_str).collect();
    let selected = rows
        .select_columns(wanted)
        .map_err(|error| Failure::Other(format!("{location}: {}", chain(&error))))?;
    if !extra.is_empty() {
        out.note(format!(
            "{location}: columns that the model does not know are left out: {}",
            extra.join(", ")
        ));
    }
    Ok(selected)
}

/// Loads a model.
pub(crate) fn load(path: &Path, threads: Option<usize>) -> Result<Autoencoder, Failure> {
    let mut model = Autoencoder::load(path)?;
    if threads.is_some() {
        model.set_threads(threads)?;
    }
    Ok(model)
}

/// Loads a detector; `None` if the file is a plain model.
pub(crate) fn load_detector(path: &Path, threads: Option<usize>) -> Result<Option<Detector>, Failure> {
    match Detector::load(path) {
        Ok(mut detector) => {
            detector.set_threads(threads)?;
            Ok(Some(detector))
        }
        Err(EvalError::Model(Error::File { kind: FileErrorKind::NotADetector, .. })) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Where to write a table.
#[derive(Debug, PartialEq)]
pub(crate) enum TableDestination {
    /// CSV on standard output.
    Stdout,
    /// A file of a writable format, in an existing folder.
    File(PathBuf),
    /// A folder of images.
    Images(ImageFolder),
}

impl TableDestination {
    /// Parses and checks `-o` before any work is done.
    pub(crate) fn checked(output: Option<&Path>) -> Result<TableDestination, Failure> {
        let Some(path) = output.filter(|path| *path != Path::new("-")) else {
            return Ok(TableDestination::Stdout);
        };
        let format = Format::of(path).map_err(|error| Failure::Usage(format!("-o {error}")))?;
        if !format.is_writable() {
            return Err(Failure::Usage(format!("-o {}: this format can only be read", path.display())));
        }
        check_output(path)?;
        Ok(TableDestination::File(path.to_owned()))
    }

    /// [`TableDestination::checked`] for rows of the model. If these are images, `-o` may be a folder;
    /// `data` is where the rows come from.
    pub(crate) fn of_rows(
        output: Option<&Path>,
        model: &Autoencoder,
        data: Option<&str>,
    ) -> Result<TableDestination, Failure> {
        match ImageFolder::parse(output, model, data)? {
            Some(folder) => Ok(TableDestination::Images(folder)),
            None => TableDestination::checked(output),
        }
    }

    /// Whether rows are written as text, not as binary numbers or JSON objects.
    pub(crate) fn is_text(&self, out: &Output) -> bool {
        match self {
            TableDestination::Stdout => !out.is_json(),
            TableDestination::File(path) => Format::of(path).is_ok_and(Format::holds_text),
            TableDestination::Images(_) => false,
        }
    }

    /// Whether the format can hold only numbers.
    pub(crate) fn is_numeric(&self) -> bool {
        match self {
            TableDestination::Stdout => false,
            TableDestination::File(path) => matches!(Format::of(path), Ok(Format::Npy | Format::Npz)),
            TableDestination::Images(_) => true,
        }
    }

    /// Writes the table and remarks where to.
    pub(crate) fn write(&self, table: &Dataset, out: &mut Output) -> Result<(), Failure> {
        match self {
            TableDestination::Stdout => match ae_data::write_csv(table, out.stream()) {
                Ok(()) => Ok(()),
                Err(DataError::Io { source, .. }) => Err(source.into()),
                Err(error) => Err(error.into()),
            },
            TableDestination::File(path) => {
                ae_data::write(table, path)?;
                let (rows, features) = (table.rows(), table.features());
                out.note(format!(
                    "{rows} rows of {features} written to {}{}",
                    path.display(),
                    kept_labels(table, path)
                ));
                Ok(())
            }
            TableDestination::Images(folder) => folder.write(table, out),
        }
    }
}

/// What happens to labels in a file of numbers, as text to append to its name.
fn kept_labels(table: &Dataset, path: &Path) -> String {
    const NAMED: usize = 10;
    let Some(labels) = table.labels() else { return String::new() };
    match Format::of(path) {
        Ok(Format::Npy) => ", without their labels, which .npz, .csv and .parquet can hold".to_owned(),
        // Labels that are whole numbers are written unchanged.
        Ok(Format::Npz) if labels.names().iter().any(|name| name.parse::<i64>().is_err()) => {
            let names = labels.names().iter().enumerate().take(NAMED);
            let names: Vec<String> = names.map(|(code, name)| format!("{code} is {name}")).collect();
            let rest = if labels.names().len() > NAMED { ", ..." } else { "" };
            format!("; in y, {}{rest}", names.join(", "))
        }
        _ => String::new(),
    }
}

/// Refuses an `-o` that cannot be written, before any work is done.
pub(crate) fn check_output(path: &Path) -> Result<(), Failure> {
    check_file("-o", path)
}

/// [`check_output`] for the path of another flag.
pub(crate) fn check_file(flag: &str, path: &Path) -> Result<(), Failure> {
    if path.is_dir() {
        return Err(Failure::Usage(format!("{flag} {}: this is a folder", path.display())));
    }
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        return Err(Failure::Usage(format!(
            "{flag} {}: there is no folder {}",
            path.display(),
            folder.display()
        )));
    }
    ae_data::check_writable(path).map_err(|error| Failure::Other(format!("{}: {error}", path.display())))
}
