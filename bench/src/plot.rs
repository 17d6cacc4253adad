//! Cost over the number of rules, both axes logarithmic, as SVG.

use std::fmt::Write as _;

/// One curve.
#[derive(Clone, Debug, PartialEq)]
pub struct Curve {
    /// What it is called.
    pub name: String,
    /// Number of rules, and the median, smallest and largest cost. Costs that are not positive have
    /// no logarithm and are left out.
    pub points: Vec<(f64, [f64; 3])>,
}

const WIDTH: f64 = 900.0;
const HEIGHT: f64 = 560.0;
/// Room for the axes and, to the right, for the names.
const LEFT: f64 = 70.0;
const RIGHT: f64 = 190.0;
const TOP: f64 = 44.0;
const BOTTOM: f64 = 50.0;
/// Distance of two names.
const LINE: f64 = 15.0;

/// Colours that are told apart by most eyes (after Okabe and Ito), then dashed again.
const COLOURS: [&str; 8] =
    ["#000000", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#8c8c8c"];

/// A logarithmic axis from one power of ten to another.
struct Axis {
    low: f64,
    high: f64,
    start: f64,
    end: f64,
}

impl Axis {
    fn new(values: impl Iterator<Item = f64>, start: f64, end: f64) -> Option<Self> {
        let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
        for value in values.filter(|value| *value > 0.0) {
            low = low.min(value.log10().floor());
            high = high.max(value.log10().ceil());
        }
        (low.is_finite() && high.is_finite()).then(|| Self {
            low,
            high: high.max(low + 1.0),
            start,
            end,
        })
    }

    fn at(&self, value: f64) -> f64 {
        let share = (value.log10() - self.low) / (self.high - self.low);
        self.start + share * (self.end - self.start)
    }

    fn decades(&self) -> impl Iterator<Item = f64> + use<> {
        (self.low as i32..=self.high as i32).map(|power| 10_f64.powi(power))
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A number at an axis: `10`, `100k`.
fn label(value: f64) -> String {
    match value {
        1e6.. => format!("{}M", value / 1e6),
        1e3.. => format!("{}k", value / 1e3),
        _ => format!("{value}"),
    }
}

/// Draws curves; `None` if there is nothing to draw.
#[must_use]
pub fn draw(title: &str, curves: &[Curve]) -> Option<String> {
    let shown: Vec<(usize, &Curve)> = curves
        .iter()
        .enumerate()
        .filter(|(_, curve)| curve.points.iter().any(|(_, [median, ..])| *median > 0.0))
        .collect();
    let points = || shown.iter().flat_map(|(_, curve)| &curve.points);
    let x = Axis::new(points().map(|(rules, _)| *rules), LEFT, WIDTH - RIGHT)?;
    let medians = points().map(|(_, [median, ..])| *median);
    let y = Axis::new(medians, HEIGHT - BOTTOM, TOP)?;

    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" \
         font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"#ffffff\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"16\">{}</text>\n",
        escaped(title)
    );
    for value in x.decades() {
        let at = x.at(value);
        let _ = writeln!(
            svg,
            "<path d=\"M{at:.1} {TOP}V{:.1}\" stroke=\"#dddddd\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"middle\">{}</text>",
            HEIGHT - BOTTOM,
            HEIGHT - BOTTOM + 18.0,
            label(value)
        );
    }
    for value in y.decades() {
        let at = y.at(value);
        let _ = writeln!(
            svg,
            "<path d=\"M{LEFT} {at:.1}H{:.1}\" stroke=\"#dddddd\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
            WIDTH - RIGHT,
            LEFT - 6.0,
            at + 4.0,
            label(value)
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\">rules</text>\
         <text transform=\"translate(18 {:.1}) rotate(-90)\" text-anchor=\"middle\">ns a packet over the floor</text>",
        (LEFT + WIDTH - RIGHT) / 2.0,
        HEIGHT - 10.0,
        (TOP + HEIGHT - BOTTOM) / 2.0
    );
    let mut names = Vec::new();
    for (number, curve) in &shown {
        let colour = COLOURS[number % COLOURS.len()];
        let dashes = if *number < COLOURS.len() { "" } else { " stroke-dasharray=\"6 4\"" };
        let positive = curve.points.iter().filter(|(_, [median, ..])| *median > 0.0);
        let (mut path, mut marks, mut last) = (String::new(), String::new(), (0.0, 0.0));
        for (rules, [median, low, high]) in positive {
            let (at_x, at_y) = (x.at(*rules), y.at(*median));
            let (bottom, top) = (10_f64.powf(y.low), 10_f64.powf(y.high));
            let [from, to] = [*low, *high].map(|value| y.at(value.clamp(bottom, top)));
            let _ = write!(path, "{}{at_x:.1} {at_y:.1}", if path.is_empty() { 'M' } else { 'L' });
            let _ = write!(
                marks,
                "<path d=\"M{at_x:.1} {from:.1}V{to:.1}\" stroke=\"{colour}\" stroke-width=\"1\"/>\
                 <circle cx=\"{at_x:.1}\" cy=\"{at_y:.1}\" r=\"3\" fill=\"{colour}\"/>"
            );
            last = (at_x, at_y);
        }
        let _ = writeln!(
            svg,
            "<path d=\"{path}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"{dashes}/>{marks}"
        );
        names.push((last, colour, dashes, escaped(&curve.name)));
    }
    // Names stand beside the ends of their curves, pushed apart where they would overlap.
    names.sort_by(|one, other| one.0.1.total_cmp(&other.0.1));
    let mut next = TOP;
    let mut left = names.len() as f64;
    for ((end_x, end_y), colour, dashes, name) in names {
        left -= 1.0;
        let at = end_y.max(next).min(HEIGHT - BOTTOM - LINE * left);
        next = at + LINE;
        let text = WIDTH - RIGHT + 22.0;
        let _ = writeln!(
            svg,
            "<path d=\"M{:.1} {end_y:.1}L{:.1} {at:.1}\" fill=\"none\" stroke=\"{colour}\" \
             stroke-width=\"0.7\"{dashes}/>\
             <text x=\"{text}\" y=\"{:.1}\" fill=\"{colour}\">{name}</text>",
            end_x + 4.0,
            text - 3.0,
            at + 4.0
        );
    }
    svg.push_str("</svg>\n");
    Some(svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(name: &str, costs: &[f64]) -> Curve {
        let rules = [10.0, 100.0, 1000.0];
        let points = rules.into_iter().zip(costs).map(|(x, y)| (x, [*y, y * 0.9, y * 1.1]));
        Curve { name: name.into(), points: points.collect() }
    }

    #[test]
    fn axes_are_logarithmic_and_reach_whole_decades() {
        let axis = Axis::new([20.0, 3000.0].into_iter(), 0.0, 300.0).unwrap();
        assert_eq!(axis.decades().collect::<Vec<_>>(), [10.0, 100.0, 1000.0, 10_000.0]);
        assert!((axis.at(100.0) - 100.0).abs() < 1e-9);
        assert!(Axis::new([0.0, -3.0].into_iter(), 0.0, 1.0).is_none());
    }

    #[test]
    fn curves_are_drawn_and_named() {
        let curves = [curve("sg", &[10.0, 12.0, 20.0]), curve("a<b", &[500.0, 900.0, 27_000.0])];
        let svg = draw("random & more", &curves).unwrap();
        assert!(svg.starts_with("<svg ") && svg.ends_with("</svg>\n"));
        assert!(svg.contains(">sg</text>") && svg.contains(">a&lt;b</text>"));
        assert!(svg.contains("random &amp; more") && svg.contains(">100k</text>"));
        assert_eq!(svg.matches("<circle").count(), 6);
    }

    #[test]
    fn what_has_no_logarithm_is_left_out() {
        assert_eq!(draw("", &[]), None);
        assert_eq!(draw("", &[curve("floor", &[0.0, -1.0, 0.0])]), None);
        let svg = draw("", &[curve("sg", &[-1.0, 5.0, 6.0])]).unwrap();
        assert_eq!(svg.matches("<circle").count(), 2);
    }
}
