//! The curves of [`costs`](crate::costs) as a picture.

use std::fs;
use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use crate::costs::{Curve, Point};

const PROXY: RGBColor = RGBColor(31, 111, 235);
const FLOOR: RGBColor = RGBColor(140, 140, 140);

/// Draws all of them below each other.
pub fn draw(curves: &[Curve], file: &Path) -> Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder)?;
    }
    let size = (720, 260 * curves.len() as u32);
    let root = SVGBackend::new(file, size).into_drawing_area();
    let failed = |error: &dyn std::fmt::Display| anyhow!("can't draw: {error}");
    root.fill(&WHITE).map_err(|error| failed(&error))?;
    for (area, curve) in root.split_evenly((curves.len(), 1)).iter().zip(curves) {
        one(area, curve).map_err(|error| failed(&*error))?;
    }
    root.present().map_err(|error| failed(&error))
}

fn one(
    area: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    curve: &Curve,
) -> Result<(), Box<dyn std::error::Error>> {
    let most = |of: fn(&Point) -> f64| curve.points.iter().map(of).fold(0.0, f64::max);
    let highest = most(|it| it.proxy.max(it.floor)) * 1.1;
    let least = curve
        .points
        .iter()
        .map(|it| it.at)
        .fold(f64::INFINITY, f64::min);
    let mut chart = ChartBuilder::on(area)
        .margin(12)
        .caption(curve.title, ("sans-serif", 15))
        .x_label_area_size(24)
        .y_label_area_size(52)
        .build_cartesian_2d((least..most(|it| it.at)).log_scale(), 0.0..highest)?;
    chart
        .configure_mesh()
        .x_label_formatter(&|at| at.to_string())
        .y_desc("µs of CPU per job")
        .light_line_style(TRANSPARENT)
        .draw()?;
    for (name, color, cost) in [
        ("proxy", PROXY, (|it| it.proxy) as fn(&Point) -> f64),
        ("floor", FLOOR, |it| it.floor),
    ] {
        let points = curve.points.iter().map(|it| (it.at, cost(it)));
        let line = LineSeries::new(points, color.stroke_width(2)).point_size(3);
        chart
            .draw_series(line)?
            .label(name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color.stroke_width(2)));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperMiddle)
        .border_style(FLOOR)
        .draw()?;
    Ok(())
}
