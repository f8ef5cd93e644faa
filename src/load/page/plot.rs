//! One plot as SVG. Sizes are pixels, which a page scales; colours are those of the style sheet, which knows them by
//! their value and has others for the dark.

use std::ops::Range;

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

const SIZE: (u32, u32) = (860, 262);
const INK: RGBColor = RGBColor(0x1D, 0x24, 0x30);
const GRID: RGBColor = RGBColor(0xD9, 0xDD, 0xE3);
const BAR: RGBColor = RGBColor(0xB3, 0x26, 0x1E);

const FONT: (&str, i32) = ("sans-serif", 16);

/// Points that a line has at most: more than pixels show nothing more.
const POINTS_MAX: usize = 800;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Colour {
    Blue,
    Orange,
}

impl Colour {
    const fn rgb(self) -> RGBColor {
        match self {
            Self::Blue => RGBColor(0x1F, 0x5F, 0xA8),
            Self::Orange => RGBColor(0xC0, 0x5A, 0x00),
        }
    }

    /// Its class in the style sheet.
    pub(super) const fn class(self) -> &'static str {
        match self {
            Self::Blue => "blue",
            Self::Orange => "orange",
        }
    }
}

/// A line, broken where nothing was measured.
#[derive(Clone, Debug)]
pub(super) struct Line {
    pub(super) name: &'static str,
    pub(super) colour: Colour,
    pub(super) points: Vec<(f64, Option<f64>)>,
}

impl Line {
    /// Whether anything of it can be seen.
    pub(super) fn is_empty(&self) -> bool {
        self.points.iter().all(|(_, y)| y.is_none())
    }

    fn max(&self) -> f64 {
        self.points.iter().filter_map(|(_, y)| *y).fold(0.0, f64::max)
    }

    /// The highest of so many neighbours each that [`POINTS_MAX`] remain, parted at gaps.
    fn runs(&self) -> Vec<Vec<(f64, f64)>> {
        let width = self.points.len().div_ceil(POINTS_MAX).max(1);
        let highest = |points: &[(f64, Option<f64>)]| {
            let y = points.iter().filter_map(|(_, y)| *y).reduce(f64::max);
            (points[points.len() - 1].0, y)
        };
        let points: Vec<_> = self.points.chunks(width).map(highest).collect();
        let runs = points.split(|(_, y)| y.is_none());
        let runs = runs.map(|run| run.iter().filter_map(|(x, y)| Some((*x, (*y)?))).collect::<Vec<_>>());
        runs.filter(|run| !run.is_empty()).collect()
    }
}

/// What the axes say.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axes {
    pub(super) x: &'static str,
    pub(super) y: &'static str,
}

type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;
type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Lines over time, and the bar that they must not exceed. Nothing where there is nothing to show.
pub(super) fn lines(axes: Axes, lines: &[Line], bar: Option<f64>) -> Option<String> {
    if lines.iter().all(Line::is_empty) {
        return None;
    }
    let right = lines.iter().filter_map(|line| line.points.last()).map(|(x, _)| *x).fold(1.0, f64::max);
    let top = lines.iter().map(Line::max).fold(bar.unwrap_or(0.0), f64::max);
    draw(axes, 0.0..right, top, |chart| {
        for line in lines {
            let style = line.colour.rgb().stroke_width(2);
            for run in line.runs() {
                if let [point] = run[..] {
                    chart.draw_series([Circle::new(point, 2, style.filled())])?;
                } else {
                    chart.draw_series(LineSeries::new(run, style))?;
                }
            }
        }
        let ends = bar.map(|bar| [(0.0, bar), (right, bar)]);
        dashed(chart, ends)
    })
}

/// How often which value came: columns from their left edge to their right one, and the bar.
pub(super) fn histogram(axes: Axes, columns: &[(f64, f64, u64)], bar: Option<f64>) -> Option<String> {
    let (left, right) = (columns.first()?.0, columns.last()?.1);
    let right = bar.filter(|bar| *bar >= right).map_or(right, |bar| bar * 1.02);
    let top = columns.iter().map(|(_, _, count)| *count).max()? as f64;
    draw(axes, left.min(0.0)..right, top, |chart| {
        let column = |&(from, to, count): &(f64, f64, u64)| {
            Rectangle::new([(from, 0.0), (to, count as f64)], Colour::Blue.rgb().filled())
        };
        chart.draw_series(columns.iter().map(column))?;
        let ends = bar.map(|bar| [(bar, 0.0), (bar, top * 1.05)]);
        dashed(chart, ends)
    })
}

fn dashed(chart: &mut Chart<'_, '_>, ends: Option<[(f64, f64); 2]>) -> Drawn {
    if let Some(ends) = ends {
        chart.draw_series(DashedLineSeries::new(ends, 8, 5, BAR.stroke_width(2)))?;
    }
    Ok(())
}

/// The frame of a plot and what `content` draws into it. Nothing, if it cannot be drawn.
fn draw(
    axes: Axes,
    x: Range<f64>,
    top: f64,
    content: impl FnOnce(&mut Chart<'_, '_>) -> Drawn,
) -> Option<String> {
    let mut svg = String::new();
    onto(&mut svg, axes, (x, 0.0..top.max(1e-3) * 1.05), content).ok()?;
    let (opened, (width, height)) = (svg.find("<svg ")?, SIZE);
    // The page says how large it is.
    let sized = format!("<svg width=\"{width}\" height=\"{height}\" ");
    Some(svg[opened..].replacen(&sized, "<svg role=\"img\" ", 1))
}

fn onto(
    svg: &mut String,
    axes: Axes,
    (x, y): (Range<f64>, Range<f64>),
    content: impl FnOnce(&mut Chart<'_, '_>) -> Drawn,
) -> Drawn {
    let area = SVGBackend::with_string(svg, SIZE).into_drawing_area();
    let step = (y.end - y.start) / 5.0;
    let mut chart = ChartBuilder::on(&area)
        .margin(6)
        .margin_right(28)
        .x_label_area_size(52)
        .y_label_area_size(72)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(INK)
        .label_style(FONT.into_font().color(&INK))
        .axis_desc_style(FONT.into_font().color(&INK))
        .x_labels(10)
        .y_labels(6)
        .x_label_formatter(&|x| format!("{x:.0}"))
        .y_label_formatter(&|y| if step < 1.0 { format!("{y:.1}") } else { format!("{y:.0}") })
        .x_desc(axes.x)
        .y_desc(axes.y)
        .draw()?;
    content(&mut chart)?;
    area.present()?;
    Ok(())
}
