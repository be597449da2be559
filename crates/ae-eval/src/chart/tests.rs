use super::axis::AxisRange;
use super::*;
use crate::Classes;

fn axes() -> Axes<'static> {
    Axes { title: "<t> \"q\"", x: "a & b", y: "y", ..Axes::default() }
}

fn labels(low: f64, high: f64, scale: Scale) -> Vec<String> {
    AxisRange::of([low, high].into_iter(), scale, false)
        .ticks(6)
        .into_iter()
        .map(|(_, label)| label)
        .collect()
}

#[test]
fn ticks_are_round() {
    assert_eq!(labels(0.0, 1.0, Scale::Linear), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
    assert_eq!(labels(1.0, 10.0, Scale::Linear), ["2", "4", "6", "8", "10"]);
    assert_eq!(labels(-3e-7, 3e-7, Scale::Linear), ["-3e-7", "-2e-7", "-1e-7", "0", "1e-7", "2e-7", "3e-7"]);
    assert_eq!(labels(0.01, 100.0, Scale::Log), ["0.01", "0.1", "1", "10", "100"]);
    assert_eq!(labels(0.1, 1.0, Scale::Log), ["0.1", "0.2", "0.5", "1"]);
    // Every second of twelve decades.
    assert_eq!(labels(1e-6, 1e5, Scale::Log), ["1e-6", "1e-4", "0.01", "1", "100", "10000"]);
    assert_eq!(labels(1e-7, 1e5, Scale::Log), ["1e-7", "1e-4", "0.1", "100", "100000"]);
    assert_eq!(labels(5.0, 9.0, Scale::Fixed(0.0, 2.0)), ["0", "0.5", "1.0", "1.5", "2.0"]);
    // No values, one value, values that are not finite, a logarithm of 0: still an axis.
    for (low, high) in [
        (f64::NAN, f64::NAN),
        (2.0, 2.0),
        (0.0, 0.0),
        (5e-324, 5e-324),
        (-f64::MAX, f64::MAX),
        (1.0, f64::INFINITY),
    ] {
        for scale in [Scale::Linear, Scale::Log] {
            let span = AxisRange::of([low, high].into_iter(), scale, true);
            assert!(!span.ticks(6).is_empty() && span.fraction(0.7).is_finite(), "{low} {high} {span:?}");
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
    let tooltips = ["<script>".to_owned()];
    let of = |colouring, points| ScatterPlot { title: "<t> \"q\"", points, tooltips: &tooltips, colouring };
    let all = [
        lines(&axes(), &[line, line], &[mark]),
        lines(&axes(), &[], &[]),
        labelled_lines(&axes(), &[line, line]),
        labelled_lines(&axes(), &[]),
        histogram(&axes(), &[1.0, 2.0, f64::INFINITY, 2.0], 10, &[mark]),
        histogram(&axes(), &[], 0, &[mark]),
        bars("<t> \"q\"", &bar),
        bars("<t> \"q\"", &[]),
        scatter(&of(classes, &[0.0, 1.0, f32::NAN, 2.0, 3.0, 4.0])),
        scatter(&of(Colouring::Values("error", &[1.0, f64::NAN]), &[0.0, 1.0, 2.0, 2.0])),
        scatter(&of(Colouring::Values("error", &[]), &[])),
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
    assert!(
        first[0] < last[0] && first[1] > last[1] && (last[0] - (WIDTH - RIGHT_MARGIN)).abs() < 0.1,
        "{path}"
    );
    assert!(ends.len() < 1500 && ends.len() > 300, "points too near to see are left out: {}", ends.len());
    // Three values in one bin, one in the other.
    let svg = histogram(&axes(), &[0.0, 0.1, 0.0, 1.0], 2, &[]);
    assert_eq!(svg.matches("<rect").count(), 2);
    assert!(svg.contains("<title>3</title>") && svg.contains("<title>1</title>"), "{svg}");
    let svg = bars("", &[("a".to_owned(), 4.0), ("b".to_owned(), 1.0)]);
    let text_width: Vec<f64> =
        svg.split("width=\"").skip(2).map(|rest| rest.split('"').next().unwrap().parse().unwrap()).collect();
    assert!((text_width[0] - 4.0 * text_width[1]).abs() < 0.3, "{text_width:?}");
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
    let svg = labelled_lines(&axes, &drawn);
    let height = |name: &str| -> f64 {
        let line = svg.lines().find(|line| line.ends_with(&format!(">{name}</text>"))).unwrap();
        line.split("y=\"").nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
    };
    assert!(
        height("b") + FONT_SIZE <= height("a") + 0.1 && height("a") + FONT_SIZE <= height("c") + 0.1,
        "{svg}"
    );
    // The ticks are where values were measured.
    assert!(svg.contains(">1</text>") && svg.contains(">8</text>"), "{svg}");
}

/// Values near the limits of a float are drawn like others.
#[test]
fn the_widest_spans_have_an_end() {
    for (low, high) in [(1.0, 1e300), (1e-300, 1e300), (1.0, f64::MAX), (f64::MIN_POSITIVE, 1.0)] {
        for scale in [Scale::Log, Scale::Linear] {
            let span = AxisRange::of([low, high].into_iter(), scale, true);
            let ticks = span.ticks(5);
            assert!((1..50).contains(&ticks.len()), "{low:e} to {high:e}: {} ticks", ticks.len());
            assert!(ticks.iter().all(|(value, _)| value.is_finite()), "{low:e} to {high:e}");
        }
    }
}

/// There is space for the number next to the longest bar.
#[test]
fn numbers_of_bars_are_within_the_chart() {
    for value in [12345.6789, 1e-9, 1.0, 1e300] {
        let svg = bars("", &[("a name of some length".to_owned(), value), ("b".to_owned(), 0.0)]);
        let x = attribute(&svg, "\"start\"", "x");
        assert!(x[1] < x[0] && x[0] + text_width(&number(value)) <= WIDTH, "{svg}");
    }
}

/// Names start within the chart, whatever characters they have.
#[test]
fn names_of_bars_are_within_the_chart() {
    for name in
        ["TOTAL_HOUSEHOLD_INCOME", "MMMMMMMMMMMMMMMMMMMMMM", "年収と世帯の人数を合わせた値の平均", "usual"]
    {
        let short = bars::fit_name(name);
        let left = 12.0 + text_width(&short);
        assert!(left < WIDTH * 0.65, "{short} takes {left}");
        assert!(short == name || short.ends_with(".."), "{short}");
        let svg = bars("", &[(name.to_owned(), 1.0)]);
        assert!(svg.contains(&format!("<rect x=\"{left:.1}\"")), "{svg}");
    }
}

/// The values of attribute `name` in the lines of a chart that contain `part`.
fn attribute(svg: &str, part: &str, name: &str) -> Vec<f64> {
    let value = |line: &str| {
        let rest = line.split(&format!(" {name}=\"")).nth(1)?;
        rest.split('"').next()?.parse().ok()
    };
    svg.lines().filter(|line| line.contains(part)).filter_map(value).collect()
}

fn near(found: &[f64], expected: &[f64]) {
    assert_eq!(found.len(), expected.len(), "{found:?} {expected:?}");
    for (a, b) in found.iter().zip(expected) {
        // Coordinates are written with one decimal.
        assert!((a - b).abs() < 0.11, "{found:?} {expected:?}");
    }
}

#[test]
fn axes_are_linear_or_logarithmic() {
    let fraction = |ends: [f64; 2], scale, has_margin, value| {
        AxisRange::of(ends.into_iter(), scale, has_margin).fraction(value)
    };
    let linear = Scale::Linear;
    for (found, expected) in [
        (fraction([1.0, 101.0], linear, false, 26.0), 0.25),
        (fraction([1.0, 100.0], Scale::Log, false, 10.0), 0.5),
        (fraction([1e-6, 100.0], Scale::Log, false, 1.0), 0.75),
        // There is no logarithm of 0.
        (fraction([0.0, 100.0], Scale::Log, false, 25.0), 0.25),
        (fraction([7.0, 9.0], Scale::Fixed(0.0, 2.0), true, 0.5), 0.25),
        // With a margin, the ends are a twenty-fifth of the whole within the axis.
        (fraction([2.0, 5.0], linear, true, 2.0), 0.04 / 1.08),
        (fraction([2.0, 5.0], linear, true, 5.0), 1.04 / 1.08),
        (fraction([2.0, 5.0], Scale::Log, true, 2.0), 0.04 / 1.08),
        (fraction([2.0, 5.0], Scale::Log, true, 5.0), 1.04 / 1.08),
    ] {
        assert!((found - expected).abs() < 1e-12, "{found} {expected}");
    }
}

#[test]
fn lines_are_broken_where_there_is_no_value() {
    let points = [(0.0, 1.0), (1.0, 2.0), (2.0, f64::NAN), (3.0, 1.0), (4.0, 2.0)];
    let svg = lines(&axes(), &[Line { name: "", points: &points, stroke: Stroke::Solid }], &[]);
    let path = svg.split("<path d=\"").nth(1).unwrap().split('"').next().unwrap();
    assert_eq!((path.matches('M').count(), path.matches('L').count()), (2, 2), "{path}");
    assert_eq!(svg.matches("<circle").count(), 4);
}

#[test]
fn marks_are_at_their_values() {
    let points = [(0.0, 0.0), (10.0, 1.0)];
    let line = Line { name: "", points: &points, stroke: Stroke::Solid };
    let marks =
        [(2.5, "a"), (7.5, "b"), (11.0, "beyond"), (-1.0, "before")].map(|(at, name)| Mark { at, name });
    let svg = lines(&axes(), &[line], &marks);
    let left = attribute(&svg, "<circle", "cx")[0];
    let at = |fraction: f64| left + fraction * (WIDTH - RIGHT_MARGIN - left);
    near(&attribute(&svg, "dasharray", "x1"), &[at(0.25), at(0.75)]);
    // Names are on the side with more space.
    let named = |name: &str| attribute(&svg, &format!(">{name}</text>"), "x");
    near(&named("a"), &[at(0.25) + 5.0]);
    near(&named("b"), &[at(0.75) - 5.0]);
    assert!(named("beyond").is_empty() && named("before").is_empty(), "{svg}");
}

#[test]
fn bins_are_equal_parts_of_the_axis() {
    let svg = histogram(&axes(), &[0.0, 0.5, 1.5, 4.0], 4, &[]);
    let (x, high) = (attribute(&svg, "<rect", "x"), attribute(&svg, "<rect", "height"));
    // Each bar is half a unit within its bin.
    let pitch = (WIDTH - RIGHT_MARGIN - (x[0] - 0.5)) / 4.0;
    near(&x, &[x[0], x[0] + pitch, x[0] + 3.0 * pitch]);
    near(&[high[0] / 2.0, high[2]], &[high[1], high[1]]);
}

/// Both axes have one scale, the largest that the wider direction has space for, and up is up.
#[test]
fn dots_are_where_they_belong() {
    let colouring = Colouring::Values("", &[]);
    let svg = scatter(&ScatterPlot {
        title: "",
        points: &[0.0, 0.0, 4.0, 0.0, 4.0, 1.0],
        tooltips: &[],
        colouring,
    });
    near(&attribute(&svg, "<circle", "cx"), &[15.0, 385.0, 385.0]);
    near(&attribute(&svg, "<circle", "cy"), &[180.0 + 46.25, 180.0 + 46.25, 180.0 - 46.25]);
    let svg = scatter(&ScatterPlot { title: "", points: &[0.0, 0.0, 1.0, 4.0], tooltips: &[], colouring });
    near(&attribute(&svg, "<circle", "cx"), &[200.0 - 41.5, 200.0 + 41.5]);
    near(&attribute(&svg, "<circle", "cy"), &[346.0, 14.0]);
}

/// The colours of all points.
fn fills(svg: &str) -> Vec<&str> {
    let points = svg.lines().filter(|line| line.contains("fill-opacity"));
    points.map(|line| line.split(" fill=\"").nth(1).unwrap().split('"').next().unwrap()).collect()
}

/// The scale runs from the lowest value to the 95th percentile.
#[test]
fn colours_tell_values() {
    let values: Vec<f64> = (0..41).map(f64::from).collect();
    let points: Vec<f32> = (0..82).map(|x| x as f32).collect();
    let colouring = Colouring::Values("error", &values);
    let svg = scatter(&ScatterPlot { title: "", points: &points, tooltips: &[], colouring });
    let fills = fills(&svg);
    assert_eq!((fills[0], fills[38], fills[39], fills[40]), ("#3a7dcd", "#d65814", "#d65814", "#d65814"));
    assert_eq!((fills[19], fills[37] == "#d65814"), ("#886b71", false));
    assert!(svg.contains(">error 0.0000</text>") && svg.contains(">38.0000 and above</text>"), "{svg}");
}

#[test]
fn colours_tell_classes() {
    let names = ["a", "b", "c"].map(str::to_owned);
    let colouring = Colouring::Classes(Classes { names: &names, codes: &[2, 0, 2] });
    let svg = scatter(&ScatterPlot {
        title: "",
        points: &[0.0, 0.0, 1.0, 1.0, 2.0, 2.0],
        tooltips: &[],
        colouring,
    });
    // Three points, and a legend of the classes present.
    assert_eq!(fills(&svg), [COLOURS[1], COLOURS[0], COLOURS[1], COLOURS[0], COLOURS[1]]);
    let legend: Vec<&str> = svg.lines().filter(|line| line.starts_with("<text")).collect();
    assert!(legend.len() == 2 && legend[0].contains(">a<") && legend[1].contains(">c<"), "{legend:?}");
}
