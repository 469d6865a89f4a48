//! The stand of `handler`. Nobody but the program itself can look at what its functions got, and the kind says so: what it promises is
//! asked in `tests/it/library/`.

use async_trait::async_trait;
use rialto::broker::{Kind, handler::KIND};

use super::{Found, Picky, Place, Stand};

/// Functions of the test itself.
pub(crate) struct Functions;

const WHY: &str = "a kind without places is asked nothing here";

#[async_trait]
impl Stand for Functions {
    async fn start() -> Self {
        Self
    }

    fn kind(&self) -> &'static Kind {
        &KIND
    }

    fn server(&self) -> String {
        String::new()
    }

    fn settings(&self, _: &str) -> String {
        unreachable!("{WHY}")
    }

    async fn place(&self) -> Place {
        unreachable!("{WHY}")
    }

    async fn put(&self, _: &Place, _: &[String]) {
        unreachable!("{WHY}")
    }

    async fn found(&self, _: &Place) -> Vec<Found> {
        unreachable!("{WHY}")
    }

    async fn waiting(&self, _: &Place) -> usize {
        unreachable!("{WHY}")
    }

    async fn picky(&self) -> Picky {
        unreachable!("{WHY}")
    }
}
