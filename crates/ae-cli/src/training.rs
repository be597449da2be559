//! Rows to train on: plain numbers are taken as they are, other tables are encoded by a schema.

use std::path::Path;

use ae_data::{
    ColumnRoles, Content, Dataset, Format, HeldOut, Kind, Labels, Schema, Table, is_built_in, read_content,
    read_table, validation_split,
};
use ae_model::{Autoencoder, Config, History, Image, StopReason};

use crate::args::{DataArgs, MissingArg, ScaleArg, TrainArgs};
use crate::failure::{Failure, chain};
use crate::inputs::{check_standard_input, options, with_hint};
use crate::output::Output;
use crate::pictures;
use crate::tables;

/// The length of a training run, as text.
pub(crate) fn length(history: &History) -> String {
    let History { epochs, train_rows, batch_size, .. } = history;
    format!("{} epochs of {train_rows} rows in batches of {batch_size}", epochs.len())
}

/// How a training run ended and which weights it kept, as text to append; empty if it ran to the end and
/// kept the last ones.
pub(crate) fn end(history: &History) -> String {
    let ended = match &history.stopped {
        StopReason::Finished => String::new(),
        StopReason::EarlyStopping => ", stopped early".to_owned(),
        StopReason::Cancelled => ", interrupted".to_owned(),
        StopReason::Callback(reason) => format!(", stopped: {reason}"),
        _ => String::new(),
    };
    if history.kept_epoch == history.epochs.len() {
        return ended;
    }
    format!("{ended}, weights of epoch {}", history.kept_epoch)
}

/// Rows to train on, with what a model of them needs to know.
pub(crate) struct TrainingRows {
    pub(crate) rows: Dataset,
    pub(crate) schema: Option<Schema>,
    /// Whether missing values are left out of the loss.
    pub(crate) mask_missing: bool,
    /// The size of the images that rows are, if given or known from a folder.
    pub(crate) image: Option<Image>,
    /// Whether the features are pixels, of known size or not.
    pub(crate) are_pixels: bool,
    /// The number of rows from `--validation FILE`, which come last.
    held_out: usize,
}

impl TrainingRows {
    /// Reads the rows that the flags name, followed by those of `--validation FILE`.
    pub(crate) fn read(args: &TrainArgs, out: &mut Output) -> Result<TrainingRows, Failure> {
        let Some(location) = args.validation.location() else { return TrainingRows::from_data(args, out) };
        if args.target.is_some() {
            let text = "--validation: with --target, it must be a fraction of the pairs, not a file";
            return Err(Failure::Usage(text.to_owned()));
        }
        check_standard_input(&[("DATA", Some(&args.data)), ("--validation", Some(location))])?;
        let mut training = TrainingRows::from_data(args, out)?;
        let others = training.read_held_out(location, args, out)?;
        let joined = training.rows.followed_by(&others);
        training.rows =
            joined.map_err(|error| Failure::Other(format!("--validation {location}: {}", chain(&error))))?;
        training.held_out = others.rows();
        Ok(training)
    }

    /// Reads the rows of `--validation FILE`, with the same columns as these rows.
    fn read_held_out(&self, location: &str, args: &TrainArgs, out: &mut Output) -> Result<Dataset, Failure> {
        let mut options = options(location, &args.input, self.mask_missing, out);
        let rows = if let Some(folder) = ae_data::folder(location) {
            options.threads = out.threads();
            options.image = self.image.map(pictures::size);
            pictures::read(folder, &options, out).map_err(with_hint)?.rows
        } else if let Some(schema) = &self.schema {
            let names = schema.features().map(|column| column.name.clone());
            options.columns = Some(names.collect());
            let table = read_table(location, &options).map_err(with_hint)?;
            tables::encode(schema, &table, &args.input, self.mask_missing, out).map_err(with_hint)?
        } else {
            options.columns = self.rows.names().map(<[String]>::to_vec);
            ae_data::read(location, &options)?
        };
        match &args.normal {
            Some(normal) => Ok(rows.select_rows(&normal_rows(rows.labels(), normal, location)?)?),
            None => Ok(rows),
        }
    }

    /// Where the rows come from and how many there are, as text.
    pub(crate) fn line(&self, args: &TrainArgs) -> String {
        let (rows, features) = (self.rows.rows() - self.held_out, self.rows.features());
        let others = match args.validation.location() {
            Some(location) => format!(", validated on {} rows of {location}", self.held_out),
            None => String::new(),
        };
        format!("data          {} ({rows} rows of {features}{others})", args.data)
    }

    /// The rows, with those of `--validation FILE` held out.
    pub(crate) fn with_held_out(&self) -> Result<HeldOut<'_>, Failure> {
        Ok(HeldOut::last(&self.rows, self.held_out)?)
    }

    /// Number of rows that are not held out.
    pub(crate) fn train_rows(&self, args: &TrainArgs) -> Result<usize, Failure> {
        // An invalid fraction is refused later, with the other settings.
        let fraction = Some(args.validation.fraction()).filter(|fraction| (0.0..1.0).contains(fraction));
        let split =
            ae_data::train_validation_split(&self.with_held_out()?, fraction.unwrap_or(0.0), args.seed)?;
        Ok(split.0.len())
    }

    fn from_data(args: &TrainArgs, out: &mut Output) -> Result<TrainingRows, Failure> {
        let mask = args.missing == Some(MissingArg::Mask);
        let mut options = options(&args.data, &args.input, mask, out);
        let list =
            |names: &Option<crate::args::ColumnNames>| names.clone().map_or_else(Vec::new, |names| names.0);
        let roles = ColumnRoles {
            categorical: list(&args.categorical),
            numeric: list(&args.numeric),
            drop: list(&args.drop),
            label: args.input.label.clone(),
        };
        options.ignored_columns.clone_from(&roles.drop);
        let is_plain = !roles.has_columns() && args.scale != Some(ScaleArg::Quantile);
        let mut image = args.image;
        let content = if let Some(folder) = ae_data::folder(&args.data) {
            if !is_plain {
                let text = "--categorical, --numeric, --drop and --scale quantile are for tables, not for folders of images";
                return Err(Failure::Usage(text.to_owned()));
            }
            options.threads = out.threads();
            options.image = image.map(pictures::size);
            let images = pictures::read(folder, &options, out).map_err(with_hint)?;
            image = Some(pictures::image(images.size));
            Content::Numbers(images.rows)
        } else if is_plain {
            // Pixels and pairs need all columns.
            let needs_all = args.data != "-" && (image.is_some() || args.target.is_some());
            match needs_all.then(|| ae_data::read(&args.data, &options)) {
                Some(Ok(rows)) => Content::Numbers(rows),
                _ => read_content(&args.data, &options).map_err(with_hint)?,
            }
        } else {
            Content::Table(read_table(&args.data, &options).map_err(with_hint)?)
        };
        match content {
            Content::Numbers(rows) => {
                let rows = match &args.normal {
                    Some(normal) => {
                        let chosen = normal_rows(rows.labels(), normal, &args.data)?;
                        rows.select_rows(&chosen)?
                    }
                    None => rows,
                };
                // All built-in sets are images.
                let are_pixels = image.is_some()
                    || matches!(Format::of(Path::new(&args.data)), Ok(Format::Idx))
                    || is_built_in(&args.data);
                // Pixel levels are exact.
                if !are_pixels {
                    tables::remark_numbers_for_names(&rows, &args.data, out);
                    tables::remark_low_precision(&rows, &args.data, out);
                    tables::remark_numbering(&rows, &args.data, out);
                }
                Ok(TrainingRows { rows, schema: None, mask_missing: mask, image, are_pixels, held_out: 0 })
            }
            Content::Table(table) => TrainingRows::from_table(args, &table, &roles, out),
            _ => Err(Failure::Other(format!("{}: neither numbers nor a table", args.data))),
        }
    }

    fn from_table(
        args: &TrainArgs,
        table: &Table,
        roles: &ColumnRoles,
        out: &mut Output,
    ) -> Result<TrainingRows, Failure> {
        let chosen = match (&args.normal, &roles.label) {
            (Some(normal), Some(label)) => {
                let labels = table.labels(table.find(label)?);
                Some(table.select_rows(&normal_rows(Some(&labels), normal, &args.data)?))
            }
            _ => None,
        };
        let table = chosen.as_ref().unwrap_or(table);
        let mut roles = roles.clone();
        roles.drop.extend(args.input.id.clone());
        let mut schema = Schema::infer(table, &roles)?;
        if args.scale == Some(ScaleArg::Quantile) {
            // Of the training rows only. An invalid fraction is refused later, with the other settings.
            let fraction = Some(args.validation.fraction());
            let fraction = fraction.filter(|fraction| (0.0..1.0).contains(fraction)).unwrap_or(0.0);
            let (train, _) = validation_split(table.rows(), fraction, args.seed)?;
            schema = schema.with_quantiles(&table.select_rows(&train))?;
        }
        let mask_missing = match args.missing {
            Some(wanted) => wanted == MissingArg::Mask,
            None => is_mixed(&schema),
        };
        let rows = tables::encode(
            &schema,
            table,
            &DataArgs { label: None, ..args.input.clone() },
            mask_missing,
            out,
        )
        .map_err(with_hint)?;
        tables::remark_columns(&schema, table, &roles, out);
        tables::remark_low_precision(&rows, &args.data, out);
        tables::remark_numbering(&rows, &args.data, out);
        Ok(TrainingRows {
            rows,
            schema: Some(schema),
            mask_missing,
            image: args.image,
            are_pixels: false,
            held_out: 0,
        })
    }

    /// Whether there are non-numeric columns.
    pub(crate) fn is_mixed(&self) -> bool {
        self.schema.as_ref().is_some_and(is_mixed)
    }

    /// Creates a model for these rows.
    pub(crate) fn model(&self, config: Config) -> Result<Autoencoder, Failure> {
        let mut model = Autoencoder::new(config)?;
        if let Some(schema) = &self.schema {
            model.set_schema(schema.clone())?;
        }
        Ok(model)
    }
}

fn is_mixed(schema: &Schema) -> bool {
    schema.features().any(|column| !matches!(column.kind, Kind::Numeric { .. }))
}

/// The indices of the rows with the label `normal`; an error if there are none.
fn normal_rows(labels: Option<&Labels>, normal: &str, location: &str) -> Result<Vec<usize>, Failure> {
    let rows = labels.map_or(0, Labels::len);
    let is_normal = |row: &usize| labels.and_then(|labels| labels.name_of(*row)) == Some(normal);
    let chosen: Vec<usize> = (0..rows).filter(is_normal).collect();
    if chosen.is_empty() {
        let names = labels.map_or(&[][..], Labels::names);
        return Err(Failure::Other(format!(
            "{location}: no row has the label '{normal}' that --normal names; labels: {}",
            names.iter().take(8).cloned().collect::<Vec<_>>().join(", ")
        )));
    }
    Ok(chosen)
}
