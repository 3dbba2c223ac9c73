//! How a training shows that it goes on: a bar on a terminal, log lines elsewhere.

use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing::info;

use super::logging::Logging;
use super::table::{figure, seconds};
use crate::algorithm::{Metric, Observer, Progress};

/// At most one progress line in this time; the last epoch is always told.
const LINE_EVERY: Duration = Duration::from_secs(1);
/// Metrics shown beside the bar.
const BAR_METRICS_MAX: usize = 2;

/// Hears a training and shows it.
pub(super) struct Shown {
    display: Display,
    started: Option<Instant>,
    last_line: Option<Instant>,
    last: Option<Progress>,
    first_rows: u64,
}

enum Display {
    Bar(ProgressBar),
    Lines,
    Nothing,
}

impl Shown {
    /// A bar, lines or nothing, as the options say.
    pub(super) fn new(logging: &Logging) -> Shown {
        let display = match (logging.wants_bar(), logging.is_quiet()) {
            (true, _) => Display::Bar(bar()),
            (false, false) => Display::Lines,
            (false, true) => Display::Nothing,
        };
        Shown { display, started: None, last_line: None, last: None, first_rows: 0 }
    }

    /// Rows per second since the first step of this process, so that a resumed training shows
    /// its own speed.
    fn rows_per_s(&self, rows_done: u64) -> f64 {
        let elapsed_s = self.started.map_or(0.0, |start| start.elapsed().as_secs_f64());
        rows_done.saturating_sub(self.first_rows) as f64 / elapsed_s.max(1e-9)
    }

    fn line_is_due(&mut self) -> bool {
        let due = self.last_line.is_none_or(|last| last.elapsed() >= LINE_EVERY);
        if due {
            self.last_line = Some(Instant::now());
        }
        due
    }

    fn left_s(&self, progress: &Progress) -> f64 {
        let left = progress.rows_total.saturating_sub(progress.rows_done) as f64;
        left / self.rows_per_s(progress.rows_done).max(1e-9)
    }

    fn say(&self, progress: &Progress) {
        let rows_per_s = self.rows_per_s(progress.rows_done).round() as u64;
        let left_s = self.left_s(progress).round() as u64;
        let rows = progress.rows_done;
        match progress.epochs {
            0 => info!(rows, rows_per_s, left_s, "training"),
            epochs => {
                info!(epoch = progress.epoch + 1, epochs, rows, rows_per_s, left_s, "training");
            }
        }
    }
}

impl Observer for Shown {
    fn step(&mut self, progress: Progress) {
        if self.started.is_none() {
            self.started = Some(Instant::now());
            self.last_line = self.started;
            self.first_rows = progress.rows_done;
            if let Display::Bar(bar) = &self.display {
                bar.set_style(style());
                // In this order: setting the length takes the position for the estimate's start.
                bar.set_position(progress.rows_done);
                bar.set_length(progress.rows_total);
                bar.reset_eta();
            }
        }
        self.last = Some(progress);
        let line_is_due = matches!(self.display, Display::Lines) && self.line_is_due();
        match &self.display {
            Display::Bar(bar) => {
                // A whole of one part is told by the bar alone.
                if progress.epochs > 0 {
                    bar.set_prefix(format!("epoch {}/{}", progress.epoch + 1, progress.epochs));
                }
                bar.set_position(progress.rows_done);
            }
            Display::Lines if line_is_due => self.say(&progress),
            Display::Lines | Display::Nothing => {}
        }
    }

    fn epoch(&mut self, epoch: usize, metrics: &[Metric]) {
        let shown = |count: usize| {
            let pairs = metrics.iter().take(count);
            pairs.map(|m| format!("{}={}", m.name, figure(m.value))).collect::<Vec<_>>().join(" ")
        };
        let epochs = self.last.map_or(0, |progress| progress.epochs);
        let line_is_due = matches!(self.display, Display::Lines) && self.line_is_due();
        match &self.display {
            Display::Bar(bar) => bar.set_message(shown(BAR_METRICS_MAX)),
            Display::Lines if line_is_due || epoch + 1 >= epochs => {
                let metrics = shown(metrics.len());
                match epochs {
                    0 => info!(metrics, "measured"),
                    epochs => info!(epoch = epoch + 1, epochs, metrics, "epoch done"),
                }
            }
            Display::Lines | Display::Nothing => {}
        }
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        if let Display::Bar(bar) = &self.display {
            bar.finish_and_clear();
        }
    }
}

/// Before the first step there is nothing to count: a spinner shows that data are read.
fn bar() -> ProgressBar {
    let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
    let style = ProgressStyle::with_template("{spinner} reading data  {elapsed}")
        .expect("the template is a constant that a test draws");
    bar.set_style(style);
    bar.enable_steady_tick(Duration::from_millis(120));
    bar
}

fn style() -> ProgressStyle {
    ProgressStyle::with_template(
        "{prefix} [{bar:30}] {percent:>3}%  {rows_per_s}  {left} left  {wide_msg}",
    )
    .expect("the template is a constant that a test draws")
    .progress_chars("=> ")
    .with_key("rows_per_s", |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
        let _ = write!(out, "{} rows/s", super::table::count(state.per_sec() as u64));
    })
    .with_key("left", |state: &indicatif::ProgressState, out: &mut dyn std::fmt::Write| {
        let _ = write!(out, "{}", seconds(state.eta().as_secs_f64()));
    })
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use indicatif::TermLike;

    use super::*;

    /// A terminal that remembers every line it was told to draw.
    #[derive(Debug, Clone, Default)]
    struct Screen(Arc<Mutex<String>>);

    impl Screen {
        fn keep(&self, text: &str) -> io::Result<()> {
            self.0.lock().unwrap().push_str(text);
            Ok(())
        }
    }

    impl TermLike for Screen {
        fn width(&self) -> u16 {
            120
        }
        fn move_cursor_up(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_down(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_right(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn move_cursor_left(&self, _: usize) -> io::Result<()> {
            Ok(())
        }
        fn write_line(&self, text: &str) -> io::Result<()> {
            self.keep(text)
        }
        fn write_str(&self, text: &str) -> io::Result<()> {
            self.keep(text)
        }
        fn clear_line(&self) -> io::Result<()> {
            Ok(())
        }
        fn flush(&self) -> io::Result<()> {
            Ok(())
        }
    }

    fn step(rows_done: u64) -> Progress {
        Progress { epoch: 2, epochs: 15, rows_done, rows_total: 1000 }
    }

    fn shown(display: Display) -> Shown {
        Shown { display, started: None, last_line: None, last: None, first_rows: 0 }
    }

    #[test]
    fn a_bar_shows_epoch_share_rate_time_left_and_metrics() {
        let screen = Screen::default();
        let bar = bar();
        bar.set_draw_target(ProgressDrawTarget::term_like_with_hz(Box::new(screen.clone()), 255));
        let mut shown = shown(Display::Bar(bar.clone()));
        shown.step(step(0));
        shown.step(step(500));
        shown.epoch(2, &[Metric { name: "train:objective_loss".into(), value: 0.25 }]);
        bar.force_draw();
        let text = screen.0.lock().unwrap().clone();
        for part in ["epoch 3/15 [", "50%", "rows/s", " s left", "train:objective_loss=0.2500"] {
            assert!(text.contains(part), "{part} is not in {text:?}");
        }
    }

    #[test]
    fn lines_are_throttled() {
        let mut shown = shown(Display::Lines);
        shown.step(step(10));
        assert!(!shown.line_is_due());
        shown.last_line = Instant::now().checked_sub(LINE_EVERY);
        assert!(shown.line_is_due());
    }

    #[test]
    fn a_resumed_training_shows_its_own_speed() {
        let screen = Screen::default();
        let bar = bar();
        bar.set_draw_target(ProgressDrawTarget::term_like_with_hz(Box::new(screen.clone()), 255));
        let mut shown = shown(Display::Bar(bar.clone()));
        shown.step(step(900));
        assert_eq!(shown.rows_per_s(900), 0.0);
        screen.0.lock().unwrap().clear();
        bar.force_draw();
        let text = screen.0.lock().unwrap().clone();
        assert!(text.contains(" 0 rows/s"), "{text:?}");
    }
}
