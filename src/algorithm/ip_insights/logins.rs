//! The rows of a channel as the training sees them, and the pairs it makes up.

use std::net::Ipv6Addr;

use super::address::random_like;
use super::model::bucket;
use crate::algorithm::features::sample;
use crate::algorithm::net::random::{Purpose, Stream};
use crate::algorithm::{Error, Features};
use crate::data::{Dataset, login};

/// One login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Login {
    /// Bucket of the entity.
    pub(super) entity: u64,
    pub(super) address: Ipv6Addr,
}

/// The logins of a channel, wherever they are.
#[derive(Clone, Copy)]
pub(super) struct Logins<'a> {
    features: Features<'a>,
    /// Buckets of entities.
    buckets: u64,
}

/// Logins that a channel on disk is measured with, at most.
const MEASURED_ROWS: u64 = 1 << 20;
/// Of the memory there is, they and the pairs made up beside them take this part.
const MEASURED_PART: u64 = 8;
/// What a pair takes while it is measured: itself, its score and its place in the order of scores.
const PAIR_BYTES: u64 = 64;

impl<'a> Logins<'a> {
    /// The logins of a channel.
    ///
    /// # Errors
    /// `Error::Data` when the channel holds something else.
    pub(super) fn of(data: &'a Dataset, channel: &str, buckets: u64) -> Result<Logins<'a>, Error> {
        let wrong = |what: String| Error::Data {
            what,
            help: "give text/csv with two columns, an entity and its IP address".into(),
        };
        if data.rows() == 0 {
            return Err(wrong(format!("channel {channel} has no rows")));
        }
        if data.width() != login::WIDTH {
            return Err(wrong(format!(
                "channel {channel} has no rows of an entity and an address"
            )));
        }
        Ok(Logins { features: Features::of(data), buckets })
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.features.rows()
    }

    /// The order of an epoch.
    pub(super) fn order(&self, seed: u64, epoch: usize) -> Vec<u32> {
        self.features.order(seed, epoch)
    }

    /// The logins with these numbers, in turn.
    ///
    /// # Errors
    /// `Error::Scratch` when they cannot be read.
    pub(super) fn batch(&self, numbers: &[u32]) -> Result<Vec<Login>, Error> {
        self.features.ready(numbers)?;
        Ok(match self.features {
            Features::Whole(rows) => {
                numbers.iter().map(|at| self.login(rows.row(*at as usize))).collect()
            }
            Features::Paged(pages) => {
                let mut logins = Vec::with_capacity(numbers.len());
                pages.gather(numbers, |_, row| logins.push(self.login(row.into())));
                logins
            }
        })
    }

    /// The buckets of all entities, ascending.
    ///
    /// # Errors
    /// `Error::Scratch` when they cannot be read.
    pub(super) fn entities(&self) -> Result<Vec<u64>, Error> {
        let mut entities: Vec<u64> = Vec::new();
        self.features.each_block(|_, rows| {
            entities.extend(rows.rows().into_iter().map(|row| self.login(row).entity));
            entities.sort_unstable();
            entities.dedup();
            Ok(())
        })?;
        Ok(entities)
    }

    /// The logins that the channel is measured with, each beside `pairs` made up: all of them in
    /// memory, and so many drawn from those on disk as fit.
    ///
    /// # Errors
    /// `Error::Scratch` when they cannot be read.
    pub(super) fn measured(&self, pairs: usize, seed: u64) -> Result<Vec<Login>, Error> {
        let picked;
        let rows = match self.features {
            Features::Whole(rows) => rows.view(),
            Features::Paged(pages) => {
                let fitting =
                    pages.room_bytes() / MEASURED_PART / (PAIR_BYTES * (1 + pairs as u64));
                let count = fitting.clamp(1000, MEASURED_ROWS) as usize;
                let mut stream = Stream::new(seed, Purpose::Sample, 0);
                let numbers = sample(pages.rows(), count, &mut stream, |_| true);
                picked = self.features.picked(&numbers)?;
                picked.view()
            }
        };
        Ok(rows.rows().into_iter().map(|row| self.login(row)).collect())
    }

    #[expect(clippy::needless_pass_by_value, reason = "a view is a reference")]
    fn login(&self, row: ndarray::ArrayView1<'_, f32>) -> Login {
        let (hash, address) = login::parts(row.iter().copied());
        Login { entity: bucket(hash, self.buckets), address }
    }
}

/// Addresses that the entities of some logins are told they do not use.
pub(super) struct Negatives {
    /// Random ones: rate × logins.
    pub(super) random: Vec<Ipv6Addr>,
    /// For each round of the rate and each login, the login whose address it is given; `None`
    /// where that is the same entity's.
    pub(super) shuffled: Vec<Vec<Option<u32>>>,
}

impl Negatives {
    /// For `logins`, so many of each kind.
    pub(super) fn draw(
        logins: &[Login],
        random: usize,
        shuffled: usize,
        stream: &mut Stream,
    ) -> Negatives {
        let random = (0..random)
            .flat_map(|_| logins)
            .map(|login| random_like(login.address, stream))
            .collect();
        let mut order: Vec<u32> = (0..logins.len() as u32).collect();
        let mut round = || {
            for last in (1..order.len()).rev() {
                order.swap(last, stream.below(last as u64 + 1) as usize);
            }
            let given = logins.iter().zip(&order).map(|(login, other)| {
                let theirs = logins[*other as usize];
                let same = theirs.entity == login.entity || theirs.address == login.address;
                (!same).then_some(*other)
            });
            given.collect()
        };
        let shuffled = (0..shuffled).map(|_| round()).collect();
        Negatives { random, shuffled }
    }
}
