-- SPDX-License-Identifier: MIT
-- sound: for scripts that end jobs, before they change anything: is what they will write into what it should be?
-- One key of a foreign type must not leave a job half ended.
--
-- These fail on a wrong type and cost next to nothing: an intersection with a key that is never there, a
-- length, what came into the streams since now.
call('ZINTER', 4, P .. 'oom', P .. 'lease', P .. 'done', P .. 'trash')
call('HLEN', P .. 'run')
call('XREAD', 'STREAMS', P .. 'ev', P .. 'out', '$', '$')
