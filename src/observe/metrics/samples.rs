//! One family's samples as text: the format that is the same for Prometheus' text 0.0.4
//! and for OpenMetrics 1.0.

use super::histogram::Reading;

/// Where the samples of one family are written.
///
/// A label's values come from a list of ours (a code, a flush reason, a status) or from the
/// settings (a route's name, a file), never from a caller.
#[derive(Debug)]
pub struct Samples<'a> {
    /// The name that all of them begin with.
    pub name: &'a str,
    /// The labels that the family has.
    pub labels: &'a [&'a str],
    /// The value of the first of them, `route`, where the samples are a route's.
    pub route: Option<&'a str>,
    /// What they are appended to.
    pub text: &'a mut String,
}

impl Samples<'_> {
    /// A number without labels of its own.
    pub fn number(&mut self, number: impl TryInto<u64>) {
        self.labelled([], number.try_into().unwrap_or(u64::MAX));
    }

    /// A number that need not be whole, without labels of its own.
    pub fn decimal(&mut self, number: f64) {
        self.sample("", None, &[], &decimal(number));
    }

    /// A number that need not be whole, with these values of the family's labels, `route` apart.
    pub fn decimal_of<const N: usize>(&mut self, values: [&str; N], number: f64) {
        self.sample("", None, &values, &decimal(number));
    }

    /// A number with these values of the family's labels, `route` apart.
    pub fn labelled<const N: usize>(&mut self, values: [&str; N], number: u64) {
        self.sample("", None, &values, itoa::Buffer::new().format(number));
    }

    /// A histogram without labels of its own.
    pub fn histogram(&mut self, reading: &Reading) {
        self.histogram_of([], reading);
    }

    /// A histogram with these values of the family's labels, `route` apart.
    pub fn histogram_of<const N: usize>(&mut self, values: [&str; N], reading: &Reading) {
        self.sample("_sum", None, &values, &decimal(reading.sum));
        let mut number = itoa::Buffer::new();
        self.sample("_count", None, &values, number.format(reading.count));
        let mut up_to = 0;
        for (bound, count) in &reading.buckets {
            up_to += count;
            let bound = decimal(*bound);
            self.sample("_bucket", Some(&bound), &values, number.format(up_to));
        }
    }

    /// `name_suffix{le="bound",label="value"} number`.
    fn sample(&mut self, suffix: &str, bound: Option<&str>, values: &[&str], number: &str) {
        let values = self.route.into_iter().chain(values.iter().copied());
        debug_assert_eq!(self.labels.len(), values.clone().count(), "{}", self.name);
        let labels = self.labels.iter().copied().zip(values);
        let labels = bound.map(|bound| ("le", bound)).into_iter().chain(labels);
        let mut open = '{';
        self.text.push_str(self.name);
        self.text.push_str(suffix);
        for (label, value) in labels {
            self.text.push(std::mem::replace(&mut open, ','));
            self.text.push_str(label);
            self.text.push_str("=\"");
            escape(value, self.text);
            self.text.push('"');
        }
        if open == ',' {
            self.text.push('}');
        }
        self.text.push(' ');
        self.text.push_str(number);
        self.text.push('\n');
    }
}

/// Appends a label's value as it stands in quotes.
fn escape(value: &str, text: &mut String) {
    for c in value.chars() {
        match c {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            plain => text.push(plain),
        }
    }
}

/// Always with a point, so that nobody takes it for a whole number.
fn decimal(number: f64) -> String {
    match number {
        f64::INFINITY => "+Inf".to_owned(),
        whole if whole.fract() == 0.0 => format!("{whole:.1}"),
        broken => broken.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_have_the_labels_of_their_family() {
        let mut text = String::new();
        let mut samples = |labels: &[&str], route, write: fn(&mut Samples<'_>)| {
            write(&mut Samples {
                name: "a_total",
                labels,
                route,
                text: &mut text,
            });
        };
        samples(&[], None, |it| it.number(7_usize));
        samples(&["x", "y"], None, |it| it.labelled(["one", "two"], 0));
        samples(&["route"], Some("r"), |it| it.number(7_usize));
        samples(&["route", "x"], Some("r"), |it| it.labelled(["one"], 1));
        samples(&["file"], None, |it| it.decimal_of(["a\\b\"\"c"], -0.5));
        let expected = "\
a_total 7
a_total{x=\"one\",y=\"two\"} 0
a_total{route=\"r\"} 7
a_total{route=\"r\",x=\"one\"} 1
a_total{file=\"a\\\\b\\\"\\\"c\"} -0.5
";
        assert_eq!(text, expected);
    }

    #[test]
    fn buckets_count_all_that_is_up_to_their_bound() {
        let mut text = String::new();
        let mut samples = Samples {
            name: "a_seconds",
            labels: &["x"],
            route: None,
            text: &mut text,
        };
        samples.histogram_of(
            ["one"],
            &Reading {
                count: 6,
                sum: 3.0,
                buckets: vec![(0.00005, 1), (1.0, 2), (f64::INFINITY, 3)],
            },
        );
        let expected = "\
a_seconds_sum{x=\"one\"} 3.0
a_seconds_count{x=\"one\"} 6
a_seconds_bucket{le=\"0.00005\",x=\"one\"} 1
a_seconds_bucket{le=\"1.0\",x=\"one\"} 3
a_seconds_bucket{le=\"+Inf\",x=\"one\"} 6
";
        assert_eq!(text, expected);
    }
}
