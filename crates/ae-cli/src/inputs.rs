//! What commands read and where they write: rows that fit a model, and outputs that are checked before the work.

use std::path::{Path, PathBuf};

use ae_data::{DataError, Dataset, Format, Missing, ReadOptions, Table};
use ae_model::Autoencoder;

use crate::args::DataArgs;
use crate::failure::Failure;
use crate::output::Output;
use crate::tables;

/// How the flags say that rows are read, with missing values as NaN if they may be missing.
pub(crate) fn options(args: &DataArgs, may_miss: bool) -> ReadOptions {
    let mut options = ReadOptions::default();
    options.delimiter = args.delimiter;
    options.header = match (args.header, args.no_header) {
        (true, _) => Some(true),
        (_, true) => Some(false),
        _ => None,
    };
    options.label.clone_from(&args.label);
    options.array.clone_from(&args.array);
    options.missing = if may_miss { Missing::Keep } else { Missing::Reject };
    options
}

/// Reads rows of numbers.
fn read(location: &str, args: &DataArgs, may_miss: bool) -> Result<Dataset, Failure> {
    Ok(ae_data::read(location, &options(args, may_miss))?)
}

/// What may help against an error of training rows.
pub(crate) fn with_hint(error: DataError) -> Failure {
    match Failure::from(error) {
        Failure::Other(text) if text.contains("the value is missing") => {
            Failure::Other(format!("{text}; --missing mask leaves it out of the loss"))
        }
        failure => failure,
    }
}

/// Reads rows for a model: columns are matched by name where both sides have names, else by position; by the model's schema where it has
/// one.
pub(crate) fn read_for(
    model: &Autoencoder,
    location: &str,
    args: &DataArgs,
    out: &Output,
) -> Result<Dataset, Failure> {
    if model.schema().is_some() {
        return Ok(read_table_for(model, location, args, out)?.0);
    }
    let rows = read(location, args, model.config().mask_missing())?;
    let Some(wanted) = model.feature_names() else { return Ok(rows) };
    let Some(present) = rows.names() else {
        if rows.features() == wanted.len() {
            out.note(format!(
                "{location} has no column names: its columns are taken in the order of the model's"
            ));
        }
        return Ok(rows);
    };
    let present = present.to_vec();
    chosen(rows, &present, wanted, location, out)
}

/// Reads rows for a model that has a schema: its features, and the table that they come from; else as [`read_for`].
pub(crate) fn read_table_for(
    model: &Autoencoder,
    location: &str,
    args: &DataArgs,
    out: &Output,
) -> Result<(Dataset, Option<Table>), Failure> {
    let Some(schema) = model.schema() else { return Ok((read_for(model, location, args, out)?, None)) };
    let may_miss = model.config().mask_missing();
    let table = ae_data::read_table(location, &options(args, may_miss))?;
    let rows = tables::encode(schema, &table, args.label.as_deref(), may_miss, out)?;
    Ok((rows, Some(table)))
}

/// Reads what the rows of `location` should become, one row of as many values for each: columns are matched by name where the names are
/// the same, else by position. A column of labels may be missing.
pub(crate) fn read_targets(
    rows: &Dataset,
    location: &str,
    target: &str,
    args: &DataArgs,
    may_miss: bool,
) -> Result<Dataset, Failure> {
    let targets = match read(target, args, may_miss) {
        Err(failure) if args.label.is_some() && target != "-" => {
            let plain = DataArgs { label: None, ..args.clone() };
            read(target, &plain, may_miss).map_err(|_| failure)?
        }
        targets => targets?,
    };
    let targets = match (rows.names(), targets.names()) {
        (Some(wanted), Some(present)) if wanted.iter().all(|name| present.contains(name)) => {
            targets.select_columns(wanted)?
        }
        _ => targets,
    };
    let ([rows_of, width], [targets_of, other]) =
        ([rows.rows(), rows.features()], [targets.rows(), targets.features()]);
    if (rows_of, width) != (targets_of, other) {
        return Err(Failure::Other(format!(
            "{location} has {rows_of} rows of {width} values and --target {target} has {targets_of} of {other}: \
             each row needs one target of as many values"
        )));
    }
    Ok(targets)
}

/// Refuses standard input for rows and for their targets.
pub(crate) fn check_targets(data: &str, target: Option<&str>) -> Result<(), Failure> {
    if data == "-" && target == Some("-") {
        return Err(Failure::Usage("--target: standard input can be read only once".to_owned()));
    }
    Ok(())
}

/// Reads encodings: columns that are named as `ae encode` names them are matched by name, others by position.
pub(crate) fn read_codes(
    model: &Autoencoder,
    location: &str,
    args: &DataArgs,
    out: &Output,
) -> Result<Dataset, Failure> {
    let codes = read(location, args, false)?;
    let wanted = code_names(model);
    match codes.names().map(<[String]>::to_vec) {
        Some(present) if wanted.iter().all(|name| present.contains(name)) => {
            chosen(codes, &present, &wanted, location, out)
        }
        _ => Ok(codes),
    }
}

/// What the columns of encodings are called.
pub(crate) fn code_names(model: &Autoencoder) -> Vec<String> {
    (0..model.config().encoding_dim()).map(|i| format!("code_{i}")).collect()
}

/// The wanted ones of the columns that are present, in their order, and a word about the others.
fn chosen(
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
    let chosen =
        rows.select_columns(wanted).map_err(|error| Failure::Other(format!("{location}: {error}")))?;
    if !extra.is_empty() {
        out.note(format!(
            "{location}: columns that the model does not know are left out: {}",
            extra.join(", ")
        ));
    }
    Ok(chosen)
}

/// Loads a model.
pub(crate) fn load(path: &Path, threads: Option<usize>) -> Result<Autoencoder, Failure> {
    let mut model = Autoencoder::load(path)?;
    if threads.is_some() {
        model.set_threads(threads)?;
    }
    Ok(model)
}

/// Where a table goes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// CSV on standard output.
    Standard,
    /// A file of a format that can be written, in a folder that exists.
    File(PathBuf),
}

impl Target {
    /// Checks an `-o` before any work is done for it.
    pub(crate) fn checked(output: Option<&Path>) -> Result<Target, Failure> {
        let Some(path) = output.filter(|path| *path != Path::new("-")) else { return Ok(Target::Standard) };
        let format = Format::of(path).map_err(|error| Failure::Usage(format!("-o {error}")))?;
        if !format.is_writable() {
            return Err(Failure::Usage(format!("-o {}: this format can only be read", path.display())));
        }
        check_output(path)?;
        Ok(Target::File(path.to_owned()))
    }

    /// Writes the table, and says where to.
    pub(crate) fn write(&self, table: &Dataset, out: &mut Output) -> Result<(), Failure> {
        match self {
            Target::Standard => match ae_data::write_csv(table, out.stream()) {
                Ok(()) => Ok(()),
                Err(DataError::Io { source, .. }) => Err(source.into()),
                Err(error) => Err(error.into()),
            },
            Target::File(path) => {
                ae_data::write(table, path)?;
                out.note(format!(
                    "{} rows of {} written to {}",
                    table.rows(),
                    table.features(),
                    path.display()
                ));
                Ok(())
            }
        }
    }
}

/// Refuses a path that cannot be written, before time is spent on what goes there.
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
