//! The rows of a channel as the training sees them, and the pairs it makes up.

use std::net::Ipv6Addr;

use super::address::random_like;
use super::model::bucket;
use crate::algorithm::Error;
use crate::algorithm::net::random::Stream;
use crate::data::{Dataset, login};

/// One login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Login {
    /// Bucket of the entity.
    pub(super) entity: u64,
    pub(super) address: Ipv6Addr,
}

/// The logins of a channel.
///
/// # Errors
/// `Error::Data` when the channel holds something else.
pub(super) fn read(data: &Dataset, channel: &str, buckets: u64) -> Result<Vec<Login>, Error> {
    let wrong = |what: String| Error::Data {
        what,
        help: "give text/csv with two columns, an entity and its IP address".into(),
    };
    if data.rows() == 0 {
        return Err(wrong(format!("channel {channel} has no rows")));
    }
    if data.width() != login::WIDTH {
        return Err(wrong(format!("channel {channel} has no rows of an entity and an address")));
    }
    let one = |row: ndarray::ArrayView1<'_, f32>| {
        let (hash, address) = login::parts(row.iter().copied());
        Login { entity: bucket(hash, buckets), address }
    };
    Ok(data.features.rows().into_iter().map(one).collect())
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
