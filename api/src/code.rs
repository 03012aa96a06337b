//! The numbered table of refusals that are the API's own. Codes never change their meaning; new ones are
//! appended to their range.
//!
//! | range | what |
//! | --- | --- |
//! | 1000 | the request itself |
//! | 1100 | the transaction, before the ledger's rules saw it |
//! | 1200 | who asks |
//! | 1300 | overload: come back later |
//! | 1400 | not here |
//! | 1500 | the node's own state |
//! | 11000 + n | the ledger's `n`: 1 to 49 not executed, 51 to 99 a rule without state, from 101 a rejection |

/// First code of the ledger's; the ledger's own number is added to it.
pub const LEDGER_CODES: u32 = 11_000;

/// Declares the table.
macro_rules! codes {
    ($(
        $code:literal $name:ident $text_name:literal $http:literal $transient:literal
        $message:literal $mend:literal;
    )*) => {
        /// A refusal of the API's own.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u32)]
        pub enum ErrorCode {
            $(#[doc = $message] $name = $code,)*
        }

        impl ErrorCode {
            /// All of them, by ascending code.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The stable code.
            #[must_use]
            pub const fn code(self) -> u32 {
                match self { $(Self::$name => $code,)* }
            }

            /// The row with this code.
            #[must_use]
            pub const fn from_code(code: u32) -> Option<Self> {
                match code { $($code => Some(Self::$name),)* _ => None }
            }

            /// The stable name for programs.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => $text_name,)* }
            }

            /// The HTTP status that it is answered with.
            #[must_use]
            pub const fn http_status(self) -> u16 {
                match self { $(Self::$name => $http,)* }
            }

            /// Whether the same request can succeed later, unchanged.
            #[must_use]
            pub const fn is_transient(self) -> bool {
                match self { $(Self::$name => $transient,)* }
            }

            /// What happened.
            #[must_use]
            pub const fn message(self) -> &'static str {
                match self { $(Self::$name => $message,)* }
            }

            /// What to do next.
            #[must_use]
            pub const fn mend(self) -> &'static str {
                match self { $(Self::$name => $mend,)* }
            }
        }
    };
}

codes! {
    1001 MalformedJson "malformed_json" 400 false
        "the body is not the JSON that this path expects"
        "compare it with /openapi.json; unknown fields are refused";
    1002 MalformedParameter "malformed_parameter" 400 false
        "a part of the path or the query cannot be read" "correct the named parameter";
    1003 BodyTooLarge "body_too_large" 413 false
        "the body is larger than this path takes"
        "send less at once; bulk bodies hold at most 4096 transactions and 4 MiB";
    1004 UnsupportedMediaType "unsupported_media_type" 415 false
        "the content type is neither application/json nor application/octet-stream"
        "set the Content-Type header";
    1005 MalformedBulk "malformed_bulk" 400 false
        "the binary body is not a sequence of length-prefixed transactions"
        "write each as u32 little-endian length, then the bytes";
    1006 MethodNotAllowed "method_not_allowed" 405 false
        "this path does not know the method" "look the method up in /openapi.json";
    1007 RequestTimeout "request_timeout" 408 true
        "the request did not arrive in time" "send it again";
    1008 HeadTooLarge "head_too_large" 431 false
        "the head of the request is larger than this node reads"
        "send fewer or shorter header fields, or ask for less at once";
    1009 ChainNeeded "chain_needed" 400 false
        "the wallet is on several chains" "say which with the parameter chain";
    1101 TransactionNotHex "transaction_not_hex" 400 false
        "the transaction is not hexadecimal text" "write the canonical bytes as hexadecimal digits";
    1102 TransactionTooLarge "transaction_too_large" 413 false
        "the transaction is larger than 10240 bytes" "split its operation";
    1103 TransactionNotCanonical "transaction_not_canonical" 400 false
        "the bytes are not the canonical encoding of a transaction"
        "encode it as docs/protocol.md says, without trailing bytes";
    1104 TransactionFieldOutOfRange "transaction_field_out_of_range" 400 false
        "a count or a number in the transaction is outside its bounds" "correct the named field";
    1105 NonceWaiting "nonce_waiting" 409 false
        "another transaction with this nonce is waiting"
        "look that one up by its id; to replace it, bid at least a tenth more in fee_max or tip and not less in either; for a new one take a new nonce";
    1106 Outbid "outbid" 409 true
        "the transaction was taken in and lost its place to another while it waited: the node's pool was full, or another with its nonce bids more"
        "look up the other one with its nonce, if you signed one; else send it again, or sign anew under the same nonce with a higher fee_max or tip";
    1107 ExemptElsewhere "exempt_elsewhere" 421 true
        "the wallet owes no base fee, the base fee is above zero, and another operator answers for this wallet"
        "send it to a node of the named operator, the wallet's own bank (see /v1/network); here again once the base fee is zero";
    1201 TokenMissing "token_missing" 401 false
        "this path needs a client token" "send it in the Authorization header as Bearer";
    1202 TokenUnknown "token_unknown" 401 false
        "the client token is not known here" "ask the node's operator for a token";
    1203 ScopeMissing "scope_missing" 403 false
        "the client token does not have the scope of this path"
        "ask the node's operator for a token with the named scope";
    1301 WalletQueueFull "wallet_queue_full" 429 true
        "the wallet has as many transactions waiting as one wallet may have"
        "wait until some are final, then send again";
    1302 PoolFull "pool_full" 429 true
        "the node has as many transactions waiting as it can hold"
        "send again after retry_after_ms, or to another bank";
    1303 TooManyRequests "too_many_requests" 429 true
        "the node serves as many requests as it can" "send again after retry_after_ms";
    1304 OperatorQueueFull "operator_queue_full" 429 true
        "the wallets of one operator have as many transactions waiting here as they may have together, and none of them bids less"
        "send again after retry_after_ms, bid more, or send to another bank";
    1305 FeePromised "fee_promised" 429 true
        "what waits here may cost the payer of the fee, and spend, so much that this fee is not covered as well"
        "wait until some of it is final, then send again; lower ceilings (fee_max) or more money in the payer's wallet leave more room";
    1306 Overloaded "overloaded" 429 true
        "the node has taken in as much as it can pass on in time; this was not looked at further"
        "send again after retry_after_ms, bid a tip, or send to another bank";
    1401 PathUnknown "path_unknown" 404 false
        "this path does not exist" "look it up in /openapi.json";
    1402 TransactionUnknown "transaction_unknown" 404 true
        "no transaction with this id is known here"
        "check the id; to send the same transaction again is harmless: it is taken in, known, or refused with the reason, such as expired";
    1403 WalletUnknown "wallet_unknown" 404 true
        "no wallet with this id exists on the chain" "check the id and the chain";
    1404 ChainUnknown "chain_unknown" 404 false
        "the network has no such chain" "see /v1/chains";
    1405 ChainElsewhere "chain_elsewhere" 421 false
        "this node does not host the chain" "ask a node that does: see /v1/network";
    1406 BlockUnknown "block_unknown" 404 true
        "no block at this height is final here" "wait, or ask for a lower height";
    1407 BatchUnknown "batch_unknown" 404 true
        "no batch with this digest is stored here" "check the digest, or ask another node";
    1408 Pruned "pruned" 410 false
        "what is asked for is below the height up to which this node pruned" "ask an archive node";
    1409 NotCertified "not_certified" 409 true
        "there is no proof yet: no certificate covers it" "ask again in a moment";
    1410 WalletElsewhere "wallet_elsewhere" 421 false
        "if there is such a wallet, it is at home on another chain" "ask for it there, at a node that hosts that chain";
    1411 BundleUnknown "bundle_unknown" 404 true
        "no bundle with this digest is stored here" "check the digest, or ask another node";
    1412 LockUnknown "lock_unknown" 404 true
        "no lock or offer with this id exists on the chain" "check the id and the chain";
    1413 ProvedByRecord "proved_by_record" 409 false
        "the outcome is that of a deadline which passed, and is proved by the record of its lock or offer"
        "ask for the proof of the lock or offer: /v1/chains/{chain}/locks/{id}/proof";
    1414 ChainNotHereYet "chain_not_here_yet" 404 true
        "no such chain here yet: this node has no proof that it was added after genesis"
        "ask again a moment after the proposal is applied, or another node of chain 0; a chain that genesis names has no origin";
    1415 WalletMoving "wallet_moving" 409 true
        "the wallet is on its way from one chain to another" "ask again in a moment";
    1501 NotReady "not_ready" 503 true
        "the node is starting or catching up" "send again after retry_after_ms, or to another bank";
    1502 DiskReserve "disk_reserve" 503 true
        "the node's disk is below its reserve, so it takes no transactions"
        "ask another bank; the operator must make room";
    1503 Halted "halted" 503 false
        "the node stopped this chain and needs its operator"
        "ask another bank; the operator sees the cause in /readyz";
    1504 Internal "internal" 500 true
        "the node failed to answer; nothing was changed by this request"
        "send again; if it happens again, tell the operator";
}
