//! Many requests on kept connections, from callers who also leave, stop in the middle and pipeline:
//! every answer by its value, and nothing left over.
//!
//! `SMRT_SOAK=1000000 cargo test --release --test it -- serve::soak` is the long one; without it a
//! fiftieth of that.

use super::*;

const CALLERS: usize = 16;

/// Marsaglia's xorshift: the same order of things for every run.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn row(dice: &mut Dice) -> [f32; 3] {
    [0, 1, 2].map(|_| dice.roll(1_000) as f32 * 0.01 - 5.0)
}

fn request(row: [f32; 3], chunked: bool) -> String {
    let [a, b, c] = row;
    let body = format!("{a},{b},{c}");
    if !chunked {
        return invocation(CSV, &body);
    }
    let (one, two) = body.split_at(body.len() / 2);
    let (first, second) = (one.len(), two.len());
    format!(
        "POST /invocations HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{first:x}\r\n{one}\r\n{second:x}\r\n{two}\r\n0\r\n\r\n"
    )
}

/// One caller until `asked` requests have their answers. Returns how often it left.
fn caller(address: SocketAddr, seed: u64, asked: usize) -> usize {
    let mut dice = Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut client = Client::new(address);
    let (mut done, mut left) = (0, 0);
    while done < asked {
        match dice.roll(100) {
            // Leaves in the middle of a head or a body.
            0 => {
                let whole = request(row(&mut dice), false);
                let cut = 1 + dice.roll(whole.len() as u64 - 1) as usize;
                client.send(&whole[..cut]);
                client = Client::new(address);
                left += 1;
            }
            // Leaves without hearing the answer.
            1 => {
                client.send(request(row(&mut dice), false));
                client = Client::new(address);
                left += 1;
            }
            // Several at once, the last of them half; then its rest.
            2..20 => {
                let rows: Vec<[f32; 3]> = (0..2 + dice.roll(9)).map(|_| row(&mut dice)).collect();
                let all: String = rows.iter().map(|row| request(*row, dice.roll(4) == 0)).collect();
                let cut = all.len() - 1 - dice.roll(20) as usize;
                client.send(&all[..cut]).send(&all[cut..]);
                for row in &rows {
                    let found = client.receive().unwrap().score();
                    assert!(close_to(found, score(row)), "{found} for {row:?}");
                }
                done += rows.len();
            }
            _ => {
                let row = row(&mut dice);
                let found = client.send(request(row, dice.roll(4) == 0)).receive().unwrap().score();
                assert!(close_to(found, score(&row)), "{found} for {row:?}");
                done += 1;
            }
        }
    }
    left
}

/// Resident bytes and open descriptors of this process.
fn held() -> Option<(usize, usize)> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: usize = line.trim().trim_end_matches(" kB").parse().ok()?;
    Some((kib << 10, std::fs::read_dir("/proc/self/fd").ok()?.count()))
}

#[test]
fn many_requests_of_restless_callers_get_their_own_answers_and_leave_nothing() {
    let asked = std::env::var("SMRT_SOAK").ok().and_then(|text| text.parse().ok());
    let asked: usize = asked.unwrap_or(20_000);
    let running = quick();
    let address = running.address();
    let round = |seed: u64, each: usize| -> usize {
        std::thread::scope(|scope| {
            let callers: Vec<_> = (0..CALLERS as u64)
                .map(|at| scope.spawn(move || caller(address, seed + at, each)))
                .collect();
            callers.into_iter().map(|caller| caller.join().unwrap()).sum()
        })
    };
    let settled = || {
        eventually("all have left", || metric(address, "smrt_connections") <= 1.0);
        assert_eq!(metric(address, "smrt_in_flight"), 0.0);
        held()
    };
    // First a tenth: what is kept for reuse is there then.
    let start = Instant::now();
    let mut left = round(1, asked / CALLERS / 10);
    let before = settled();
    left += round(100, asked / CALLERS - asked / CALLERS / 10);
    let after = settled();
    println!(
        "{asked} answers, {left} callers left in the middle, {:.0} s, (bytes, descriptors) {before:?} then {after:?}",
        start.elapsed().as_secs_f64()
    );
    assert!(left > asked / 200);
    // Only where nothing else runs beside it in this process.
    if let (Some(before), Some(after), true) = (before, after, asked > 100_000) {
        assert!(after.0 < before.0 + (8 << 20), "memory grew from {} to {}", before.0, after.0);
        assert!(after.1 <= before.1 + 2, "descriptors grew from {} to {}", before.1, after.1);
    }
}
