//! Output of the maps: as text, JSON objects, a table of coordinates and a plot.

use std::io::{self, Write};
use std::path::PathBuf;

use ae_data::{Dataset, Format};
use ae_eval::{Classes, Panel, Scatter};
use serde_json::json;

use super::Map;
use crate::args::{Common, CompareArgs};
use crate::failure::Failure;
use crate::inputs::check_file;
use crate::output::{Output, quoted};
use crate::tables;

/// Where to write the results.
pub(super) struct Destination {
    table: Table,
    picture: Option<(PathBuf, Picture)>,
}

enum Table {
    None,
    Stdout,
    File(PathBuf, &'static str),
}

enum Picture {
    Svg,
    Png,
}

impl Destination {
    /// Parses and checks `-o` and `--plot` before any work is done.
    pub(super) fn of(args: &CompareArgs, common: &Common) -> Result<Destination, Failure> {
        let table = match args.output.as_deref() {
            None => Table::None,
            Some(path) if path.as_os_str() == "-" => {
                if common.json {
                    let text = "-o -: coordinates and the objects of --json cannot share standard output";
                    return Err(Failure::Usage(text.to_owned()));
                }
                Table::Stdout
            }
            Some(path) => {
                let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
                let separator = match Format::of(path) {
                    Ok(Format::Csv) if ending == "csv" => ",",
                    Ok(Format::Tsv) if ending == "tsv" => "\t",
                    _ => {
                        let path = path.display();
                        let text = format!("-o {path}: coordinates are written as .csv or .tsv");
                        return Err(Failure::Usage(text));
                    }
                };
                check_file("-o", path)?;
                Table::File(path.to_owned(), separator)
            }
        };
        let picture = match args.plot.as_deref() {
            None => None,
            Some(path) => {
                let ending = path.extension().unwrap_or_default().to_ascii_lowercase();
                let picture = match ending.to_str() {
                    Some("svg") => Picture::Svg,
                    Some("png") => Picture::Png,
                    _ => {
                        let text = format!("--plot {}: pictures are drawn as .png or .svg", path.display());
                        return Err(Failure::Usage(text));
                    }
                };
                check_file("--plot", path)?;
                Some((path.to_owned(), picture))
            }
        };
        Ok(Destination { table, picture })
    }

    /// Writes the results, measured by `neighbours`. `drawn` holds the indices of `rows` in the data, and
    /// `chosen` describes them.
    pub(super) fn write(
        &self,
        maps: &[Map],
        rows: &Dataset,
        drawn: &[usize],
        (chosen, neighbours): (&str, usize),
        out: &mut Output,
    ) -> Result<(), Failure> {
        let failed = |path: &PathBuf| {
            let path = path.display().to_string();
            move |error: io::Error| Failure::Other(format!("{path}: {error}"))
        };
        if let Table::Stdout = self.table {
            coordinates(maps, rows, drawn, ",", out.stream())?;
        }
        for line in lines(maps, chosen, neighbours) {
            // Next to a table on standard output, it is a remark.
            if let Table::Stdout = self.table { out.note(line) } else { out.line(line)? }
        }
        for map in maps {
            out.object(&json!({
                "event": "map",
                "map": map.key,
                "trustworthiness": map.trustworthiness,
                "continuity": map.continuity,
                "knn_accuracy": map.accuracy,
                "seconds": map.seconds,
                "remark": map.remark,
            }))?;
        }
        if let Table::File(path, separator) = &self.table {
            ae_data::write_atomically(path, |file| coordinates(maps, rows, drawn, separator, file))
                .map_err(failed(path))?;
            out.note(format!("coordinates of {} rows written to {}", drawn.len(), path.display()));
        }
        if let Some((path, picture)) = &self.picture {
            let scatter = scatter(maps, rows, neighbours)?;
            ae_data::write_atomically(path, |file| match picture {
                Picture::Svg => scatter.write_svg(file),
                Picture::Png => scatter.write_png(file),
            })
            .map_err(failed(path))?;
            out.note(format!("maps drawn to {}", path.display()));
        }
        Ok(())
    }
}

/// The table of the maps, as lines of text.
fn lines(maps: &[Map], chosen: &str, neighbours: usize) -> Vec<String> {
    let accuracy = format!("{neighbours}-NN accuracy");
    let mut lines = vec![
        format!("rows          {chosen}"),
        format!("neighbours    {neighbours}"),
        String::new(),
        format!(
            "{:<10} {:>15} {:>10} {accuracy:>15} {:>8}",
            "map", "trustworthiness", "continuity", "seconds"
        ),
    ];
    for map in maps {
        let accuracy =
            map.accuracy.map_or_else(|| "no labels".to_owned(), |accuracy| format!("{accuracy:.4}"));
        lines.push(format!(
            "{:<10} {:>15.4} {:>10.4} {accuracy:>15} {:>8.2}",
            map.name, map.trustworthiness, map.continuity, map.seconds
        ));
    }
    lines.push(String::new());
    lines.extend(maps.iter().map(|map| format!("{:<13} {}", map.name, map.remark)));
    lines
}

/// The maps side by side.
fn scatter(maps: &[Map], rows: &Dataset, neighbours: usize) -> Result<Scatter, Failure> {
    let panels: Vec<Panel> = maps
        .iter()
        .map(|map| {
            let mut measures =
                format!("trustworthiness {:.3}, continuity {:.3}", map.trustworthiness, map.continuity);
            if let Some(accuracy) = map.accuracy {
                measures += &format!(", {neighbours}-NN {accuracy:.3}");
            }
            let title = match map.key {
                "encoding" => "Encoding by the model".to_owned(),
                _ => map.name.clone(),
            };
            Panel { title, remarks: vec![map.remark.clone(), measures], points: map.points.clone() }
        })
        .collect();
    let classes = rows.labels().map(|labels| Classes { names: labels.names(), codes: labels.codes() });
    Ok(Scatter::draw(&panels, classes)?)
}
/// Writes a line per row: its number in the data, id if it has one, label, and coordinates on each map.
fn coordinates(
    maps: &[Map],
    rows: &Dataset,
    drawn: &[usize],
    separator: &str,
    out: impl Write,
) -> io::Result<()> {
    let mut out = io::BufWriter::new(out);
    let axes = maps.iter().flat_map(|map| [1, 2].map(|axis| format!("{}_{axis}", map.key)));
    let mut header: Vec<String> = ["row", "label"].into_iter().map(str::to_owned).chain(axes).collect();
    let row_ids = tables::row_id_column(rows, &header);
    header.splice(1..1, row_ids.iter().map(|(name, _)| quoted(name, separator)));
    writeln!(out, "{}", header.join(separator))?;
    for (place, row) in drawn.iter().enumerate() {
        let label = rows.labels().and_then(|labels| labels.name_of(place)).unwrap_or_default();
        let mut cells = vec![(row + 1).to_string()];
        cells.extend(row_ids.iter().map(|(_, ids)| quoted(&ids[place], separator)));
        cells.push(quoted(label, separator));
        for map in maps {
            cells.extend(map.points[2 * place..2 * place + 2].iter().map(f32::to_string));
        }
        writeln!(out, "{}", cells.join(separator))?;
    }
    out.flush()
}
