use super::axis::Span;
use super::*;
use crate::Classes;

fn axes() -> Axes<'static> {
    Axes { title: "<t> \"q\"", x: "a & b", y: "y", ..Axes::default() }
}

fn labels(low: f64, high: f64, scale: Scale) -> Vec<String> {
    Span::of([low, high].into_iter(), scale, false).ticks(6).into_iter().map(|(_, label)| label).collect()
}

#[test]
fn ticks_are_round() {
    assert_eq!(labels(0.0, 1.0, Scale::Linear), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
    assert_eq!(labels(1.0, 10.0, Scale::Linear), ["2", "4", "6", "8", "10"]);
    assert_eq!(labels(-3e-7, 3e-7, Scale::Linear), ["-3e-7", "-2e-7", "-1e-7", "0", "1e-7", "2e-7", "3e-7"]);
    assert_eq!(labels(0.01, 100.0, Scale::Log), ["0.01", "0.1", "1", "10", "100"]);
    assert_eq!(labels(0.1, 1.0, Scale::Log), ["0.1", "0.2", "0.5", "1"]);
    assert_eq!(labels(5.0, 9.0, Scale::Fixed(0.0, 2.0)), ["0", "0.5", "1.0", "1.5", "2.0"]);
    // No values, one value, values that are no numbers, a logarithm of nothing: still an axis.
    for (low, high) in [
        (f64::NAN, f64::NAN),
        (2.0, 2.0),
        (0.0, 0.0),
        (5e-324, 5e-324),
        (-f64::MAX, f64::MAX),
        (1.0, f64::INFINITY),
    ] {
        for scale in [Scale::Linear, Scale::Log] {
            let span = Span::of([low, high].into_iter(), scale, true);
            assert!(!span.ticks(6).is_empty() && span.share(0.7).is_finite(), "{low} {high} {span:?}");
        }
    }
}

#[test]
fn texts_are_escaped_and_charts_closed() {
    let points = [(1.0, 0.5), (2.0, f64::NAN), (3.0, 0.25)];
    let line = Line { name: "</svg><script>", points: &points, stroke: Stroke::Solid };
    let mark = Mark { at: 2.0, name: "<p99>" };
    let bar = [("<script>".to_owned(), 2.0), ("b".to_owned(), f64::NAN), ("c".to_owned(), -1.0)];
    let names = ["<script>".to_owned()];
    let classes = Colouring::Classes(Classes { names: &names, codes: &[0, 5] });
    let notes = ["<script>".to_owned()];
    let of = |colouring, points| Dots { title: "<t> \"q\"", points, notes: &notes, colouring };
    let all = [
        lines(&axes(), &[line, line], &[mark]),
        lines(&axes(), &[], &[]),
        measured_lines(&axes(), &[line, line]),
        measured_lines(&axes(), &[]),
        histogram(&axes(), &[1.0, 2.0, f64::INFINITY, 2.0], 10, &[mark]),
        histogram(&axes(), &[], 0, &[mark]),
        bars("<t> \"q\"", &bar),
        bars("<t> \"q\"", &[]),
        dots(&of(classes, &[0.0, 1.0, f32::NAN, 2.0, 3.0, 4.0])),
        dots(&of(Colouring::Values("error", &[1.0, f64::NAN]), &[0.0, 1.0, 2.0, 2.0])),
        dots(&of(Colouring::Values("error", &[]), &[])),
    ];
    for svg in all {
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"), "{svg}");
        assert!(svg.contains("role=\"img\" aria-label=\"&lt;t&gt; &quot;q&quot;\""), "{svg}");
        assert!(!svg.contains("<script>") && !svg.contains("=\"NaN") && !svg.contains("=\"inf"), "{svg}");
        assert_eq!(svg.matches("</svg>").count(), 1, "{svg}");
    }
}

#[test]
fn values_are_where_they_belong() {
    let points: Vec<(f64, f64)> = (0..3000).map(|i| (f64::from(i), f64::from(i))).collect();
    let line = Line { name: "", points: &points, stroke: Stroke::Dashed };
    let svg = lines(&axes(), &[line], &[]);
    let path = svg.split("<path d=\"M").nth(1).unwrap().split('"').next().unwrap();
    let ends: Vec<Vec<f64>> =
        path.split('L').map(|point| point.split(' ').map(|x| x.parse().unwrap()).collect()).collect();
    let (first, last) = (&ends[0], ends.last().unwrap());
    assert!(first[0] < last[0] && first[1] > last[1] && (last[0] - (WIDTH - RIGHT)).abs() < 0.1, "{path}");
    assert!(ends.len() < 1500 && ends.len() > 300, "points too near to see are left out: {}", ends.len());
    // Three values of one kind, one of another.
    let svg = histogram(&axes(), &[0.0, 0.1, 0.0, 1.0], 2, &[]);
    assert_eq!(svg.matches("<rect").count(), 2);
    assert!(svg.contains("<title>3</title>") && svg.contains("<title>1</title>"), "{svg}");
    let svg = bars("", &[("a".to_owned(), 4.0), ("b".to_owned(), 1.0)]);
    let wide: Vec<f64> =
        svg.split("width=\"").skip(2).map(|rest| rest.split('"').next().unwrap().parse().unwrap()).collect();
    assert!((wide[0] - 4.0 * wide[1]).abs() < 0.3, "{wide:?}");
}

#[test]
fn names_beside_lines_keep_apart() {
    let points = [[(1.0, 10.0), (8.0, 100.0)], [(1.0, 20.0), (8.0, 101.0)], [(1.0, 5.0), (8.0, 99.0)]];
    let names = ["a", "b", "c"];
    let drawn: Vec<Line<'_>> = names
        .iter()
        .zip(&points)
        .map(|(name, points)| Line { name, points, stroke: Stroke::Solid })
        .collect();
    let axes = Axes { x_scale: Scale::Log, y_scale: Scale::Log, ..axes() };
    let svg = measured_lines(&axes, &drawn);
    let height = |name: &str| -> f64 {
        let line = svg.lines().find(|line| line.ends_with(&format!(">{name}</text>"))).unwrap();
        line.split("y=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
    };
    assert!(height("b") + TEXT <= height("a") + 0.1 && height("a") + TEXT <= height("c") + 0.1, "{svg}");
    // What was measured at is what is written.
    assert!(svg.contains(">1</text>") && svg.contains(">8</text>"), "{svg}");
}

/// Values at the ends of what a float holds are drawn like others.
#[test]
fn the_widest_spans_have_an_end() {
    for (low, high) in [(1.0, 1e300), (1e-300, 1e300), (1.0, f64::MAX), (f64::MIN_POSITIVE, 1.0)] {
        for scale in [Scale::Log, Scale::Linear] {
            let span = Span::of([low, high].into_iter(), scale, true);
            let ticks = span.ticks(5);
            assert!((1..50).contains(&ticks.len()), "{low:e} to {high:e}: {} ticks", ticks.len());
            assert!(ticks.iter().all(|(value, _)| value.is_finite()), "{low:e} to {high:e}");
        }
    }
}

/// Names begin within the chart, whatever they are made of.
#[test]
fn names_of_bars_are_within_the_chart() {
    for name in
        ["TOTAL_HOUSEHOLD_INCOME", "MMMMMMMMMMMMMMMMMMMMMM", "年収と世帯の人数を合わせた値の平均", "usual"]
    {
        let short = bars::fitting(name);
        let left = 12.0 + wide(&short);
        assert!(left < WIDTH * 0.65, "{short} takes {left}");
        assert!(short == name || short.ends_with(".."), "{short}");
        let svg = bars("", &[(name.to_owned(), 1.0)]);
        assert!(svg.contains(&format!("<rect x=\"{left:.1}\"")), "{svg}");
    }
}
