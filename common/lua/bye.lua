-- SPDX-License-Identifier: MIT
-- @use base write registry
-- bye: a worker is gone. Its leases are not touched: it releases them first.
--
-- ARGV  worker
-- Reply 1
deregister(ARGV[1])
call('DEL', P .. 'w:' .. ARGV[1], P .. 'nonce:' .. ARGV[1], P .. 'push:' .. ARGV[1], P .. 'stop:' .. ARGV[1])
return 1
