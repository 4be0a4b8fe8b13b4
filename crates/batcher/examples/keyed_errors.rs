//! The keyed front: results in any order, and errors for single items.
//!
//!     cargo run -p microbatch-batcher --example keyed_errors

use std::collections::BTreeMap;

use microbatch_batcher::{Batcher, Error, Settings};
use thiserror::Error;

#[derive(Clone, Copy)]
struct Transfer {
    account: u32,
    amount: u64,
}

#[derive(Debug, Error, PartialEq)]
enum Declined {
    #[error("account {0} is overdrawn by {1}")]
    Overdrawn(u32, u64),
}

/// Stands for a service that answers for each account, in an order of its own, and
/// says nothing of accounts that it does not know.
async fn book(transfers: Vec<Transfer>) -> Result<Vec<(u32, Result<u64, Declined>)>, Declined> {
    let balances = BTreeMap::from([(1, 100), (2, 5)]);
    let booked = balances.into_iter().rev().filter_map(|(account, balance)| {
        let amount = transfers.iter().find(|it| it.account == account)?.amount;
        let left = u64::checked_sub(balance, amount);
        Some((
            account,
            left.ok_or_else(|| Declined::Overdrawn(account, amount - balance)),
        ))
    });
    Ok(booked.collect())
}

#[tokio::main(flavor = "current_thread")]
pub(crate) async fn main() {
    let batcher = Batcher::keyed(Settings::default(), |it: &Transfer| it.account, book);
    let transfer = |account, amount| batcher.execute(Transfer { account, amount });
    let (first, second, third) = tokio::join!(transfer(1, 30), transfer(2, 30), transfer(3, 30));

    assert_eq!(first, Ok(70));
    // What went wrong for one is told to one, as the type that it was.
    let declined = second.as_ref().err().and_then(Error::failure);
    assert_eq!(declined, Some(&Declined::Overdrawn(2, 25)));
    assert_eq!(third, Err(Error::Missing { strays: 0 }));
}
