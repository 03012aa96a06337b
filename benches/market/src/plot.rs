//! A plot of rates over time as SVG, written by hand: a few lines and labels need no library.

use std::fmt::Write as _;

const WIDTH: f64 = 860.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
/// The upper picture: base fees, with a logarithmic axis.
const RATES: (f64, f64) = (40.0, 280.0);
/// The lower one: weight of blocks, in targets.
const LOADS: (f64, f64) = (310.0, 400.0);
const HEIGHT: f64 = 440.0;
/// Rates below this are drawn at the bottom: they cost a payment nothing.
const RATE_MIN: f64 = 100.0;

/// A line of the upper picture.
pub(crate) struct Line {
    /// In the legend.
    pub(crate) name: &'static str,
    /// As in CSS.
    pub(crate) colour: &'static str,
    /// Millionths of a fen per weight, block by block.
    pub(crate) values: Vec<f64>,
}

/// Rates above, the weight of blocks below.
pub(crate) fn plot(title: &str, seconds: f64, lines: &[Line], load: Vec<f64>, target: f64) -> String {
    let highest =
        lines.iter().flat_map(|line| &line.values).fold(1_000.0, |most: f64, value| most.max(*value));
    let decades = (highest / RATE_MIN).log10().ceil();
    let rate_y = |rate: f64| {
        let share = (rate.max(RATE_MIN) / RATE_MIN).log10() / decades;
        RATES.1 - share * (RATES.1 - RATES.0)
    };
    let load_max = load.iter().fold(2.0, |most: f64, weight| most.max(weight / target)).ceil();
    let load_y = |targets: f64| LOADS.1 - targets / load_max * (LOADS.1 - LOADS.0);
    let mut svg = String::new();
    let _ = write!(
        svg,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" \
         font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    text(&mut svg, LEFT, 24.0, "start", &format!("Base fee, demand “{title}” (µfen per unit of weight)"));
    for decade in 0..=decades as i32 {
        let rate = RATE_MIN * 10f64.powi(decade);
        let label = if decade == 0 { format!("≤ {rate}") } else { format!("{rate}") };
        rule(&mut svg, rate_y(rate), &label);
    }
    text(&mut svg, LEFT, LOADS.0 - 8.0, "start", "Weight of blocks under our rule, in targets");
    for targets in [0.0, 1.0, load_max] {
        rule(&mut svg, load_y(targets), &format!("{targets}"));
    }
    for share in 0..=6 {
        let share = f64::from(share) / 6.0;
        let x = LEFT + share * (WIDTH - LEFT - RIGHT);
        text(&mut svg, x, LOADS.1 + 18.0, "middle", &format!("{:.0} s", share * seconds));
    }
    let loads: Vec<f64> = load.iter().map(|weight| load_y(weight / target)).collect();
    line(&mut svg, "#7f8c8d", &loads);
    for (number, of) in lines.iter().enumerate() {
        let points: Vec<f64> = of.values.iter().map(|rate| rate_y(*rate)).collect();
        line(&mut svg, of.colour, &points);
        let x = WIDTH - RIGHT - 160.0 + 90.0 * number as f64;
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"14\" width=\"12\" height=\"12\" fill=\"{}\"/><text x=\"{}\" y=\"24\">{}</text>",
            of.colour,
            x + 16.0,
            of.name
        );
    }
    svg.push_str("</svg>\n");
    svg
}

fn text(svg: &mut String, x: f64, y: f64, anchor: &str, words: &str) {
    let _ = writeln!(svg, "<text x=\"{x:.0}\" y=\"{y:.0}\" text-anchor=\"{anchor}\">{words}</text>");
}

/// A horizontal rule with its label.
fn rule(svg: &mut String, y: f64, label: &str) {
    let right = WIDTH - RIGHT;
    let _ = writeln!(svg, "<path d=\"M{LEFT} {y:.1}H{right}\" stroke=\"#dddddd\"/>");
    text(svg, LEFT - 6.0, y + 4.0, "end", label);
}

fn line(svg: &mut String, colour: &str, points: &[f64]) {
    let step = (WIDTH - LEFT - RIGHT) / (points.len() as f64 - 1.0).max(1.0);
    let mut path = String::new();
    for (number, y) in points.iter().enumerate() {
        let verb = if number == 0 { 'M' } else { 'L' };
        let _ = write!(path, "{verb}{:.1} {y:.1}", LEFT + number as f64 * step);
    }
    let _ = writeln!(svg, "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"1.2\"/>");
}
