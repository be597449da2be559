//! The files that a command reads and writes: none may be both.

use std::path::Path;

use super::{Command, EvaluateArgs, RowsOutputArgs, TrainArgs, TransformArgs};
use crate::failure::Failure;

/// The files that a command reads, and those that it writes, with their flags.
#[derive(Default)]
struct Files<'a> {
    read: Vec<&'a Path>,
    written: Vec<(&'static str, &'a Path)>,
}

impl<'a> Files<'a> {
    fn reads(mut self, files: impl IntoIterator<Item = Option<&'a Path>>) -> Self {
        self.read.extend(files.into_iter().flatten());
        self
    }

    fn writes(mut self, flag: &'static str, file: Option<&'a Path>) -> Self {
        self.written.extend(file.map(|file| (flag, file)));
        self
    }
}

fn data(location: &String) -> Option<&Path> {
    Some(Path::new(location))
}

fn train(args: &TrainArgs) -> Files<'_> {
    let TrainArgs { data: rows, target, config, output, checkpoint, validation, .. } = args;
    let held_out = validation.location().map(Path::new);
    let read = [data(rows), target.as_ref().and_then(data), held_out, config.as_deref()];
    Files::default().reads(read).writes("-o", output.as_deref()).writes("--checkpoint", checkpoint.as_deref())
}

fn rows_output<'a>(model: &'a Path, args: &'a RowsOutputArgs) -> Files<'a> {
    Files::default().reads([Some(model)]).writes("-o", args.output.as_deref())
}

fn transform(args: &TransformArgs) -> Files<'_> {
    let TransformArgs { model, data: rows, output, .. } = args;
    Files::default().reads([Some(model.as_path()), data(rows)]).writes("-o", output.as_deref())
}

fn evaluate(args: &EvaluateArgs) -> Files<'_> {
    let EvaluateArgs { model, data: rows, target, reference, .. } = args;
    let more = [target, reference].map(|location| location.as_ref().and_then(data));
    Files::default().reads([Some(model.as_path()), data(rows)]).reads(more)
}

impl Command {
    fn files(&self) -> Files<'_> {
        match self {
            Command::Train(args) => train(args),
            Command::Sweep(args) => train(&args.training),
            Command::Encode(args) => transform(&args.transform),
            Command::Decode(args) => transform(args),
            Command::Reconstruct(args) => transform(&args.transform),
            Command::Score(args) => transform(&args.transform),
            Command::Detect(args) => {
                let more = [&args.reference, &args.calibrate];
                transform(&args.transform)
                    .reads(more.map(|location| location.as_ref().and_then(data)))
                    .writes("--save", args.save.as_deref())
            }
            Command::Evaluate(args) => evaluate(args),
            Command::Report(args) => {
                let more = [args.history.as_deref(), args.sweep.as_deref()];
                evaluate(&args.evaluate).reads(more).writes("-o", Some(&args.output))
            }
            Command::Compare(args) => Files::default()
                .reads([Some(args.model.as_path()), data(&args.data)])
                .writes("-o", args.output.as_deref())
                .writes("--plot", args.plot.as_deref()),
            Command::Generate(args) => rows_output(&args.model, &args.rows_output),
            Command::Traverse(args) => rows_output(&args.model, &args.rows_output),
            Command::Interpolate(args) => {
                rows_output(&args.model, &args.rows_output).reads([data(&args.data)])
            }
            Command::Info(_) => Files::default(),
        }
    }

    /// Refuses to overwrite a file that the command reads.
    pub(crate) fn check_files(&self) -> Result<(), Failure> {
        let Files { read, written } = self.files();
        let place = |path: &Path| if path.is_file() { path.canonicalize().ok() } else { None };
        for (flag, path) in written {
            let Some(target) = place(path) else { continue };
            if read.iter().any(|read| place(read).is_some_and(|read| read == target)) {
                let path = path.display();
                return Err(Failure::Usage(format!(
                    "{flag} {path}: the command reads this file, so it cannot overwrite it"
                )));
            }
        }
        Ok(())
    }
}
