//! Finding a wallet while shards double (PROTOCOL rule 25): from where the registry has it at home to where it is.

use std::time::Duration;

use ledger::values::{ChainId, WalletId};

use super::{Client, ClientError};
use crate::code::ErrorCode;
use crate::error::ApiError;
use crate::network::NetworkView;
use crate::wallet::WalletView;

/// Chains that are looked on after the first: the parent of a chain that is being filled, and where a wallet has moved to.
pub const REDIRECTS_MAX: usize = 4;
/// Looks at a wallet that is between two chains, and the pause between them: a receipt is there some blocks later.
pub const MOVING_LOOKS_MAX: u32 = 20;
const MOVING_PAUSE: Duration = Duration::from_millis(300);

impl Client {
    /// A wallet where it is, beginning with its home: where it has moved to, or, while its home is being filled, with the chain that it
    /// has not left yet. One that is between two chains is waited for, some seconds.
    ///
    /// # Errors
    /// [`ClientError`]; refused with code 1403 where there is none, 1405 where the way leads to a chain that the node does not host, 1415
    /// where it leads in a circle, or on and on.
    pub async fn find_wallet(
        &self,
        network: &NetworkView,
        id: WalletId,
        home: ChainId,
    ) -> Result<WalletView, ClientError> {
        let mut looks = 1;
        loop {
            match self.follow_wallet(network, id, home).await {
                Err(ClientError::Refused(error))
                    if error.code == ErrorCode::WalletMoving.code() && looks < MOVING_LOOKS_MAX =>
                {
                    looks += 1;
                    tokio::time::sleep(MOVING_PAUSE).await;
                }
                found => return found,
            }
        }
    }

    async fn follow_wallet(
        &self,
        network: &NetworkView,
        id: WalletId,
        home: ChainId,
    ) -> Result<WalletView, ClientError> {
        let mut looked: Vec<ChainId> = Vec::new();
        let mut at = home;
        while looked.len() <= REDIRECTS_MAX && !looked.contains(&at) {
            looked.push(at);
            at = match self.wallet(id, Some(at)).await {
                Ok(WalletView { moved_to: Some(to), .. }) => ChainId(to),
                Err(ClientError::Refused(error)) if is_not_there(&error) => {
                    network.filled_from(at).ok_or(ClientError::Refused(error))?
                }
                found => return found,
            };
        }
        let way: Vec<String> = looked.iter().map(ToString::to_string).collect();
        let detail = format!("looked on the chains {}, then sent to {at}", way.join(", "));
        Err(ApiError::from(ErrorCode::WalletMoving).at("id").because(detail).into())
    }
}

/// Whether a chain has no record of a wallet; of a chain that is being filled it says that another one may have it.
fn is_not_there(error: &ApiError) -> bool {
    [ErrorCode::WalletUnknown, ErrorCode::WalletElsewhere].iter().any(|code| code.code() == error.code)
}
