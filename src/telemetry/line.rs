//! How a line of the log is written: as text for people or JSON for machines.
//!
//! Both formats come from one visitor, so that what holds of a line holds of both,
//! whatever wrote it and is in it: no field takes more than [`LONGEST`]
//! bytes but for the settings in the first line, and everything that
//! [`is_unprintable`] is escaped.

use std::fmt::{self, Debug, Write};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber, span};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::printable::is_unprintable;

/// The longest value of a field, in bytes as it is written, its quotes included.
pub(super) const LONGEST: usize = 512;

/// The format of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lines {
    /// One JSON object each.
    Json,
    /// For people, in colours or not.
    Text { colours: bool },
}

/// The fields that may be longer: the settings in force, in the line that tells that
/// the process listens, and in its last line the counts by code, of which there is a
/// bounded number.
fn is_long(metadata: &Metadata<'_>, name: &str) -> bool {
    let last = concat!(env!("CARGO_PKG_NAME"), "::app");
    match name {
        "settings" => metadata.target() == env!("CARGO_PKG_NAME"),
        "outcomes" | "refusals" => metadata.target() == last,
        _ => false,
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        match self {
            Self::Json => json(context, &mut writer, event)?,
            Self::Text { colours } => text(context, &mut writer, event, *colours)?,
        }
        writeln!(writer)
    }
}

fn json<S, N>(
    context: &FmtContext<'_, S, N>,
    writer: &mut Writer<'_>,
    event: &Event<'_>,
) -> fmt::Result
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    let metadata = event.metadata();
    writer.write_str("{\"timestamp\":\"")?;
    SystemTime.format_time(writer)?;
    write!(writer, "\",\"level\":\"{}\",", metadata.level())?;
    Fields::of_event(Lines::Json, writer, metadata).visit(|it| event.record(it))?;
    write!(writer, ",\"target\":\"{}\"", metadata.target())?;
    if let Some(scope) = context.event_scope() {
        let spans: Vec<_> = scope.from_root().collect();
        let write_span =
            |writer: &mut Writer<'_>, span: &tracing_subscriber::registry::SpanRef<'_, S>| {
                writer.write_char('{')?;
                if let Some(fields) = span.extensions().get::<FormattedFields<N>>()
                    && !fields.is_empty()
                {
                    write!(writer, "{fields},")?;
                }
                write!(writer, "\"name\":\"{}\"}}", span.name())
            };
        if let Some(current) = spans.last() {
            writer.write_str(",\"span\":")?;
            write_span(writer, current)?;
        }
        for (i, span) in spans.iter().enumerate() {
            writer.write_str(if i == 0 { ",\"spans\":[" } else { "," })?;
            write_span(writer, span)?;
        }
        writer.write_char(']')?;
    }
    writer.write_char('}')
}

fn text<S, N>(
    context: &FmtContext<'_, S, N>,
    writer: &mut Writer<'_>,
    event: &Event<'_>,
    colours: bool,
) -> fmt::Result
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    let metadata = event.metadata();
    let (dim, colour, plain) = match colours {
        true => ("\u{1b}[2m", colour(*metadata.level()), "\u{1b}[0m"),
        false => ("", "", ""),
    };
    writer.write_str(dim)?;
    SystemTime.format_time(writer)?;
    write!(writer, "{plain} {colour}{:>5}{plain} ", metadata.level())?;
    if let Some(scope) = context.event_scope() {
        for span in scope.from_root() {
            writer.write_str(span.name())?;
            if let Some(fields) = span.extensions().get::<FormattedFields<N>>()
                && !fields.is_empty()
            {
                write!(writer, "{{{fields}}}")?;
            }
            writer.write_char(':')?;
        }
        writer.write_char(' ')?;
    }
    let lines = Lines::Text { colours };
    Fields::of_event(lines, writer, metadata).visit(|it| event.record(it))
}

/// The colours that `tracing-subscriber` has for levels, as ECMA-48 writes them.
fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\u{1b}[31m",
        Level::WARN => "\u{1b}[33m",
        Level::INFO => "\u{1b}[32m",
        Level::DEBUG => "\u{1b}[34m",
        Level::TRACE => "\u{1b}[35m",
    }
}

/// The fields of a span, as they stand in the lines of its events: in JSON members
/// without braces.
impl<'writer> FormatFields<'writer> for Lines {
    fn format_fields<R: RecordFields>(
        &self,
        mut writer: Writer<'writer>,
        fields: R,
    ) -> fmt::Result {
        Fields::of_span(*self, &mut writer).visit(|it| fields.record(it))
    }

    fn add_fields(
        &self,
        current: &'writer mut FormattedFields<Self>,
        fields: &span::Record<'_>,
    ) -> fmt::Result {
        if !current.fields.is_empty() {
            current.fields.push_str(self.between());
        }
        self.format_fields(current.as_writer(), fields)
    }
}

impl Lines {
    fn between(self) -> &'static str {
        match self {
            Self::Json => ",",
            Self::Text { .. } => " ",
        }
    }
}

/// Writes fields one by one.
struct Fields<'a, 'writer> {
    lines: Lines,
    writer: &'a mut Writer<'writer>,
    /// The event's, to know which of its fields may be long.
    metadata: Option<&'a Metadata<'a>>,
    first: bool,
    written: fmt::Result,
}

impl<'a, 'writer> Fields<'a, 'writer> {
    fn of_event(lines: Lines, writer: &'a mut Writer<'writer>, metadata: &'a Metadata<'a>) -> Self {
        Self {
            metadata: Some(metadata),
            ..Self::of_span(lines, writer)
        }
    }

    fn of_span(lines: Lines, writer: &'a mut Writer<'writer>) -> Self {
        Self {
            lines,
            writer,
            metadata: None,
            first: true,
            written: Ok(()),
        }
    }

    fn visit(mut self, record: impl FnOnce(&mut dyn Visit)) -> fmt::Result {
        record(&mut self);
        self.written
    }

    fn field(
        &mut self,
        field: &Field,
        value: impl FnOnce(&mut Writer<'writer>, usize) -> fmt::Result,
    ) {
        if self.written.is_ok() {
            self.written = self.try_field(field, value);
        }
    }

    fn try_field(
        &mut self,
        field: &Field,
        value: impl FnOnce(&mut Writer<'writer>, usize) -> fmt::Result,
    ) -> fmt::Result {
        if !std::mem::take(&mut self.first) {
            self.writer.write_str(self.lines.between())?;
        }
        let name = field.name();
        match self.lines {
            Lines::Json => write!(self.writer, "\"{name}\":")?,
            Lines::Text { .. } if name == "message" => {}
            Lines::Text { .. } => write!(self.writer, "{name}=")?,
        }
        let long = self.metadata.is_some_and(|it| is_long(it, name));
        value(self.writer, if long { usize::MAX } else { LONGEST })
    }

    /// What has no quotes of its own in either format.
    fn bare(&mut self, field: &Field, value: impl fmt::Display) {
        self.field(field, |writer, _| write!(writer, "{value}"));
    }
}

impl Visit for Fields<'_, '_> {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let quotes = match self.lines {
            Lines::Json => Quotes::Json,
            Lines::Text { .. } => Quotes::None,
        };
        self.field(field, |writer, longest| {
            bounded(writer, quotes, longest, format_args!("{value:?}"))
        });
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        let quotes = match self.lines {
            Lines::Json => Quotes::Json,
            Lines::Text { .. } if field.name() == "message" => Quotes::None,
            Lines::Text { .. } => Quotes::Text,
        };
        self.field(field, |writer, longest| {
            bounded(writer, quotes, longest, format_args!("{value}"))
        });
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        match value.is_finite() {
            true => self.bare(field, value),
            // JSON has no other numbers.
            false => self.record_debug(field, &value),
        }
    }
}

/// What stands around a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Quotes {
    /// A JSON string (RFC 8259, 7).
    Json,
    /// Quotes, so that a value with spaces has an end.
    Text,
    None,
}

/// Writes a value of no more than `longest` bytes: what is too long ends with `…`.
fn bounded(
    writer: &mut dyn Write,
    quotes: Quotes,
    longest: usize,
    value: fmt::Arguments<'_>,
) -> fmt::Result {
    const QUOTES: usize = 2;
    let quote = if quotes == Quotes::None { "" } else { "\"" };
    writer.write_str(quote)?;
    let mut bounded = Bounded {
        writer: &mut *writer,
        quotes,
        left: longest - QUOTES - CUT.len(),
        cut: false,
    };
    let written = bounded.write_fmt(value);
    match bounded.cut {
        true => writer.write_str(CUT)?,
        false => written?,
    }
    writer.write_str(quote)
}

/// What stands for the rest of a value.
const CUT: &str = "…";

/// Escapes and cuts while a value writes itself, so that a long one is never whole
/// in memory.
struct Bounded<'a> {
    writer: &'a mut dyn Write,
    quotes: Quotes,
    left: usize,
    cut: bool,
}

impl Write for Bounded<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.chars().try_for_each(|c| self.write_char(c))
    }

    /// Fails once there is no room: the value need not write any more.
    fn write_char(&mut self, c: char) -> fmt::Result {
        let quoted = self.quotes != Quotes::None && matches!(c, '"' | '\\');
        let length = match is_unprintable(c) {
            true if self.quotes == Quotes::Json => "\\u0000".len(),
            true => c.escape_default().len(),
            false => c.len_utf8() + usize::from(quoted),
        };
        if self.cut || length > self.left {
            self.cut = true;
            return Err(fmt::Error);
        }
        self.left -= length;
        match is_unprintable(c) {
            // All of them are of the first plane, which four digits name.
            true if self.quotes == Quotes::Json => write!(self.writer, "\\u{:04x}", u32::from(c)),
            true => write!(self.writer, "{}", c.escape_default()),
            false => {
                if quoted {
                    self.writer.write_char('\\')?;
                }
                self.writer.write_char(c)
            }
        }
    }
}

#[cfg(test)]
#[path = "line_tests.rs"]
mod tests;
