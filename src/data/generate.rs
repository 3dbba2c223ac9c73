//! Card transactions from a seed, any number of them, for benches, demonstrations and tests of
//! size. Nothing in them is about anybody.
//!
//! A latent kind of day (ordinary, travelling, being tested by a thief, taken over) drives the
//! columns; whether a transaction is fraud follows from the columns through interactions that a
//! straight line cannot draw, plus chance. About one in a hundred is fraud.

use std::io::{self, Write};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The columns, in order; the label comes first.
pub const TRANSACTION_COLUMNS: [&str; 20] = [
    "fraud",
    "amount",
    "hour",
    "weekday",
    "merchant_category",
    "merchant_risk",
    "card_present",
    "foreign",
    "distance_km",
    "speed_kmh",
    "device_age_days",
    "account_age_days",
    "transactions_1h",
    "transactions_24h",
    "amount_24h",
    "amount_to_mean",
    "declined_24h",
    "address_match",
    "ip_risk",
    "minutes_since_last",
];

/// Writes `rows` transactions as CSV without a header, the label first, as SageMaker's algorithms
/// read them. The same seed gives the same bytes; more rows only go on.
///
/// # Errors
/// When `out` does not take them.
pub fn transactions(rows: u64, seed: u64, out: &mut dyn Write) -> io::Result<()> {
    let mut dice = Dice(ChaCha8Rng::seed_from_u64(seed));
    let mut text = Vec::with_capacity(FLUSH_BYTES + 512);
    for _ in 0..rows {
        Transaction::draw(&mut dice).write(&mut text)?;
        if text.len() >= FLUSH_BYTES {
            out.write_all(&text)?;
            text.clear();
        }
    }
    out.write_all(&text)
}

const FLUSH_BYTES: usize = 64 << 10;

/// Merchant categories (ISO 18245), how often each is met, its usual amount, its risk.
const MERCHANTS: [(u16, f64, f64, f64); 12] = [
    (5411, 0.24, 42.0, 0.05),
    (5812, 0.16, 31.0, 0.05),
    (5541, 0.12, 38.0, 0.12),
    (5999, 0.10, 55.0, 0.30),
    (4111, 0.09, 7.0, 0.03),
    (5912, 0.08, 24.0, 0.06),
    (5732, 0.05, 310.0, 0.70),
    (4722, 0.04, 420.0, 0.45),
    (5651, 0.05, 75.0, 0.20),
    (5815, 0.04, 12.0, 0.55),
    (6051, 0.02, 250.0, 0.90),
    (5944, 0.01, 600.0, 0.80),
];

/// What kind of day the card has.
#[derive(Clone, Copy, PartialEq)]
enum Day {
    Ordinary,
    Travel,
    Tested,
    TakenOver,
}

struct Transaction {
    fraud: bool,
    columns: [f64; 19],
    decimals: [usize; 19],
}

impl Transaction {
    fn draw(dice: &mut Dice) -> Transaction {
        let day = match dice.uniform() {
            at if at < 0.925 => Day::Ordinary,
            at if at < 0.975 => Day::Travel,
            at if at < 0.988 => Day::Tested,
            _ => Day::TakenOver,
        };
        let thief = matches!(day, Day::Tested | Day::TakenOver);
        let (category, usual, risk) = dice.merchant(thief);
        let account_age = (dice.exponential(900.0)).min(7300.0).floor();
        let mean = 20.0 + dice.exponential(60.0);
        let factor = match day {
            Day::Ordinary => dice.lognormal(-0.1, 0.7),
            Day::Travel => dice.lognormal(0.2, 0.8),
            Day::Tested => dice.lognormal(-2.3, 0.5),
            Day::TakenOver => dice.lognormal(0.9, 0.8),
        };
        let amount = (usual * factor).clamp(0.5, 25_000.0);
        let hour = dice.hour(thief);
        let present = dice.chance(if thief { 0.06 } else { 0.62 });
        let foreign = dice.chance(match day {
            Day::Ordinary => 0.02,
            Day::Travel => 0.75,
            _ => 0.4,
        });
        let distance = match day {
            Day::Ordinary => dice.exponential(9.0),
            Day::Travel => 300.0 + dice.exponential(1800.0),
            _ if present => dice.exponential(40.0),
            _ => dice.exponential(2200.0),
        };
        let minutes = match day {
            Day::Tested => dice.exponential(6.0),
            Day::TakenOver => dice.exponential(45.0),
            _ => dice.exponential(640.0),
        };
        let speed = (distance / (minutes / 60.0).max(0.05)).min(40_000.0);
        let device_age = if thief { dice.exponential(6.0) } else { dice.exponential(380.0) };
        let last_hour = match day {
            Day::Tested => 2.0 + dice.poisson(5.0),
            Day::TakenOver => 1.0 + dice.poisson(1.8),
            _ => 1.0 + dice.poisson(0.25),
        };
        let last_day = last_hour + dice.poisson(2.4);
        let spent = amount + (last_day - 1.0) * mean * dice.lognormal(-0.2, 0.5);
        let declined = dice.poisson(if day == Day::Tested { 1.6 } else { 0.06 });
        let address = dice.chance(if thief { 0.45 } else { 0.96 });
        let ip = if thief { 1.0 - dice.uniform().powi(2) * 0.8 } else { dice.uniform().powi(3) };
        let ratio = amount / mean;

        // Signs that mean little alone and much together.
        let mut evidence = -6.3;
        evidence += 2.2 * f64::from(!present && device_age < 3.0);
        evidence += 2.4 * f64::from(last_hour >= 4.0 && amount < 8.0);
        evidence += 1.8 * f64::from(ratio > 4.0 && ip > 0.5);
        evidence += 1.6 * f64::from(foreign && !present && !address);
        evidence += 1.4 * f64::from(speed > 900.0 && device_age < 30.0);
        evidence += 1.5 * risk * f64::from(ip > 0.4);
        evidence += 0.7 * declined.min(3.0);
        evidence += 0.8 * f64::from(!(6.0..23.0).contains(&hour)) * f64::from(!present);
        evidence -= 0.9 * f64::from(account_age > 1500.0 && address);
        evidence += 0.5 * dice.normal();
        let fraud = dice.chance(1.0 / (1.0 + (-evidence).exp()));

        Transaction {
            fraud,
            columns: [
                amount,
                hour,
                (dice.uniform() * 7.0).floor(),
                f64::from(category),
                risk,
                f64::from(present),
                f64::from(foreign),
                distance,
                speed,
                device_age,
                account_age,
                last_hour,
                last_day,
                spent,
                ratio,
                declined,
                f64::from(address),
                ip,
                minutes,
            ],
            decimals: [2, 0, 0, 0, 2, 0, 0, 1, 1, 2, 0, 0, 0, 2, 4, 0, 0, 4, 1],
        }
    }

    fn write(&self, text: &mut Vec<u8>) -> io::Result<()> {
        text.push(b'0' + u8::from(self.fraud));
        for (value, decimals) in self.columns.iter().zip(self.decimals) {
            write!(text, ",{value:.decimals$}")?;
        }
        text.push(b'\n');
        Ok(())
    }
}

/// Chance, from the seed alone. The logarithms are the platform's, and the same on all that use
/// the same standard library.
struct Dice(ChaCha8Rng);

impl Dice {
    /// In [0, 1).
    fn uniform(&mut self) -> f64 {
        (self.0.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn chance(&mut self, probability: f64) -> bool {
        self.uniform() < probability
    }

    fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.uniform()).ln()
    }

    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    fn lognormal(&mut self, mean: f64, deviation: f64) -> f64 {
        (mean + deviation * self.normal()).exp()
    }

    /// Knuth's way; the means here are small.
    fn poisson(&mut self, mean: f64) -> f64 {
        let floor = (-mean).exp();
        let mut product = self.uniform();
        let mut count = 0.0;
        while product > floor {
            product *= self.uniform();
            count += 1.0;
        }
        count
    }

    /// People buy by day; thieves more evenly.
    fn hour(&mut self, thief: bool) -> f64 {
        let spread = if thief { 6.5 } else { 3.6 };
        (13.5 + spread * self.normal()).rem_euclid(24.0).floor()
    }

    /// Category, usual amount and risk.
    fn merchant(&mut self, thief: bool) -> (u16, f64, f64) {
        let weight = |share: f64, risk: f64| if thief { share * (0.2 + 4.0 * risk) } else { share };
        let total: f64 = MERCHANTS.iter().map(|(_, share, _, risk)| weight(*share, *risk)).sum();
        let mut at = self.uniform() * total;
        for (category, share, usual, risk) in MERCHANTS {
            at -= weight(share, risk);
            if at < 0.0 {
                return (category, usual, risk);
            }
        }
        let (category, _, usual, risk) = MERCHANTS[0];
        (category, usual, risk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_rows_and_about_one_fraud_in_a_hundred() {
        let mut first = Vec::new();
        transactions(20_000, 7, &mut first).unwrap();
        let mut again = Vec::new();
        transactions(20_000, 7, &mut again).unwrap();
        assert_eq!(first, again);
        let text = String::from_utf8(first).unwrap();
        assert!(text.lines().all(|line| line.split(',').count() == TRANSACTION_COLUMNS.len()));
        let frauds = text.lines().filter(|line| line.starts_with("1,")).count();
        assert!((100..400).contains(&frauds), "{frauds} of 20,000");
    }

    #[test]
    fn more_rows_go_on_where_fewer_end() {
        let (mut few, mut many) = (Vec::new(), Vec::new());
        transactions(100, 3, &mut few).unwrap();
        transactions(1_000, 3, &mut many).unwrap();
        assert!(many.starts_with(&few));
    }
}
