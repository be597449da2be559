use super::raster::Canvas;
use super::*;

fn panel(points: &[f32]) -> Panel {
    Panel { title: "A map".to_owned(), remarks: vec!["of <rows>".to_owned()], points: points.to_vec() }
}

fn names(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("class {i}")).collect()
}

fn svg(scatter: &Scatter) -> String {
    let mut file = Vec::new();
    scatter.write_svg(&mut file).unwrap();
    String::from_utf8(file).unwrap()
}

#[test]
fn every_row_is_a_mark_in_every_panel_and_every_class_a_name() {
    let panels = [panel(&[0.0, 0.0, 1.0, 2.0, 3.0, 1.0]), panel(&[5.0; 6])];
    let classes = Classes { names: &names(3), codes: &[2, 0, 2] };
    let scatter = Scatter::draw(&panels, Some(classes)).unwrap();
    let text = svg(&scatter);
    // Three points in two panels, and the two classes that occur.
    assert_eq!(text.matches("<circle").count(), 3 * 2 + 2);
    assert_eq!(text.matches(">A map</text>").count(), 2);
    assert!(text.contains(">of &lt;rows&gt;</text>"));
    assert!(text.contains(">class 0</text>") && !text.contains("class 1") && text.ends_with("</svg>\n"));
    let plain = svg(&Scatter::draw(&panels, None).unwrap());
    assert_eq!((plain.matches("<circle").count(), plain.contains("class")), (6, false));
}

#[test]
fn points_stand_where_they_belong() {
    let scatter = Scatter::draw(&[panel(&[0.0, 0.0, 4.0, 2.0])], None).unwrap();
    let marks: Vec<(f64, f64)> = scatter
        .shapes
        .iter()
        .filter_map(|shape| match shape {
            Shape::Mark { x, y, .. } => Some((*x, *y)),
            _ => None,
        })
        .collect();
    let (left, top) = (GAP, GAP + 2.0 * LINE_HEIGHT);
    // As wide as the panel allows, half as high, and centred.
    assert_eq!(marks[0], (left + INSET, top + SIDE / 2.0 + (SIDE - 2.0 * INSET) / 4.0));
    assert_eq!(marks[1], (left + SIDE - INSET, top + SIDE / 2.0 - (SIDE - 2.0 * INSET) / 4.0));
    let canvas = Canvas::of(&scatter);
    let at = |(x, y): (f64, f64)| {
        let at = 3 * ((y * 2.0) as usize * canvas.width + (x * 2.0) as usize);
        <[u8; 3]>::try_from(&canvas.pixels[at..at + 3]).unwrap()
    };
    assert_eq!((at((5.0, 5.0)), at(marks[0])), ([255; 3], [51, 142, 193]));
    assert_eq!(at((left, top + 50.0)), FRAME);
    let mut file = Vec::new();
    scatter.write_png(&mut file).unwrap();
    assert!(file.starts_with(b"\x89PNG"));
}

#[test]
fn many_classes_have_other_marks_and_the_last_none() {
    let count = 40;
    let points: Vec<f32> = (0..2 * count).map(|x| x as f32).collect();
    let codes: Vec<u32> = (0..count).collect();
    let classes = Classes { names: &names(count as usize), codes: &codes };
    let scatter = Scatter::draw(&[panel(&points)], Some(classes)).unwrap();
    let text = svg(&scatter);
    assert!(text.contains("class 31<") && text.contains(">8 others<") && !text.contains("class 32"));
    // Triangles, squares and diamonds, each in the panel and in the legend.
    assert_eq!(text.matches("<polygon").count(), 3 * 8 * 2);
    let mut file = Vec::new();
    scatter.write_png(&mut file).unwrap();
}

#[test]
fn long_and_foreign_names() {
    let names = ["a".repeat(30), "日本 \u{7}".to_owned()];
    let classes = Classes { names: &names, codes: &[0, 1] };
    let scatter = Scatter::draw(&[panel(&[0.0, 0.0, 1.0, 1.0])], Some(classes)).unwrap();
    assert!(svg(&scatter).contains(&format!(">{}..</text>", "a".repeat(22))));
    scatter.write_png(&mut Vec::new()).unwrap();
}

#[test]
fn what_cannot_be_drawn_is_refused() {
    let names = names(2);
    let draw = |points: &[f32], codes: &[u32]| {
        Scatter::draw(&[panel(points)], Some(Classes { names: &names, codes })).unwrap_err()
    };
    assert!(matches!(draw(&[], &[]), EvalError::Empty { .. }));
    assert!(matches!(draw(&[1.0, 2.0, 3.0], &[0]), EvalError::Data(_)));
    assert!(matches!(draw(&[1.0, f32::NAN], &[0]), EvalError::Model(_)));
    assert!(matches!(draw(&[1.0, 2.0], &[0, 1]), EvalError::RowCount { .. }));
    assert!(matches!(draw(&[1.0, 2.0], &[2]), EvalError::Classes { .. }));
    assert_eq!(svg(&Scatter::draw(&[], None).unwrap()).matches("<rect").count(), 1);
}
