//! Where to write the page and its plots.

use std::io::Write;
use std::path::PathBuf;

use super::page::Plot;
use crate::args::{Common, ReportArgs};
use crate::failure::Failure;
use crate::inputs::check_file;
use crate::output::Output;

/// Output paths, checked before any work is done.
pub(super) struct Destination {
    /// `None` for standard output.
    page: Option<PathBuf>,
    plots: Option<PathBuf>,
}

impl Destination {
    /// Parses and checks `-o` and `--plots`.
    pub(super) fn of(args: &ReportArgs, common: &Common) -> Result<Destination, Failure> {
        let path = &args.output;
        let page = if path.as_os_str() == "-" {
            if common.json {
                let text = "-o -: the page and the objects of --json cannot share standard output";
                return Err(Failure::Usage(text.to_owned()));
            }
            None
        } else {
            let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
            if ending != "html" && ending != "htm" {
                let path = path.display();
                return Err(Failure::Usage(format!("-o {path}: a report is written as .html")));
            }
            check_file("-o", path)?;
            Some(path.clone())
        };
        if let Some(folder) = &args.plots {
            let usage = |text: String| Failure::Usage(format!("--plots {}: {text}", folder.display()));
            if page.as_ref() == Some(folder) {
                return Err(usage("it must differ from -o".to_owned()));
            }
            if folder.exists() && !folder.is_dir() {
                return Err(usage("this is not a folder".to_owned()));
            }
            if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty())
                && !parent.is_dir()
            {
                return Err(usage(format!("there is no folder {}", parent.display())));
            }
        }
        Ok(Destination { page, plots: args.plots.clone() })
    }

    /// Writes the page, and the plots if requested.
    pub(super) fn write(&self, html: &str, plots: &[Plot], out: &mut Output) -> Result<(), Failure> {
        if let Some(folder) = &self.plots {
            if !folder.is_dir() {
                std::fs::create_dir(folder)
                    .map_err(|error| Failure::Other(format!("--plots {}: {error}", folder.display())))?;
            }
            for plot in plots {
                // A drawing of its own has no page to take colours from.
                let light = "<svg style=\"background:#fff;color:#1b1f24\" ";
                let svg = plot.svg.replacen("<svg ", light, 1);
                let path = folder.join(format!("{}.svg", plot.name));
                ae_data::write_atomically(&path, |file| file.write_all(svg.as_bytes()))
                    .map_err(|error| Failure::Other(format!("{}: {error}", path.display())))?;
            }
            out.note(format!("{} plots written to {}", plots.len(), folder.display()));
        }
        match &self.page {
            None => Ok(out.stream().write_all(html.as_bytes())?),
            Some(path) => {
                ae_data::write_atomically(path, |file| file.write_all(html.as_bytes()))
                    .map_err(|error| Failure::Other(format!("{}: {error}", path.display())))?;
                out.line(format!("report        {} ({} KiB)", path.display(), html.len().div_ceil(1024)))
            }
        }
    }
}
