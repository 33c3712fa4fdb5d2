-- SPDX-License-Identifier: MIT
-- @use base account
-- key_get: a key as the dispatcher needs it. KEYS[1] is `{k}`.
--
-- ARGV  SHA-256 of the key in hex; then the fields that are wanted
-- Reply the values, and the account's concurrency and max_queued
return key_values(ARGV[1], 2)
