# SPDX-License-Identifier: MIT
# Sidekiq behind the roles of tests/bench/queue/compare.py; what to do comes in the environment:
#   SOCKET=... JOBS=... MODE=... ruby sidekiq_jobs.rb                            submits
#   SOCKET=... JOBS=... MODE=... OUT=... sidekiq -c 10 -r ./sidekiq_jobs.rb      works
require 'sidekiq'

Redis.silence_deprecations = true # Debian's Sidekiq warns about its Redis client at every job

SOCKET, JOBS, MODE, OUT = ENV['SOCKET'], ENV['JOBS'].to_i, ENV['MODE'], ENV['OUT']
PAD = 'x' * 300

def now_us
  Process.clock_gettime(Process::CLOCK_REALTIME, :microsecond)
end

Sidekiq.configure_client { |config| config.redis = { path: SOCKET, size: 2 } }
Sidekiq.configure_server do |config|
  config.redis = { path: SOCKET, size: 15 }
  config.logger.level = Logger::WARN
end

class BenchJob
  include Sidekiq::Worker
  LOCK = Mutex.new
  @waits = []
  @done = 0
  @first = nil

  class << self
    def note(at)
      LOCK.synchronize do
        @first ||= now_us
        @waits << now_us - at if at
        next unless (@done += 1) == JOBS
        File.write(OUT, MODE == 'wake' ? @waits.join("\n") : "#{@first} #{now_us}")
        Process.kill('KILL', Process.pid)
      end
    end
  end

  def perform(at, _pad)
    if MODE == 'hang'
      File.write(OUT, "#{Process.pid} #{now_us}\n", mode: 'a')
      sleep 600
    end
    BenchJob.note(at)
  end
end

if $PROGRAM_NAME == __FILE__
  if MODE == 'wake'
    JOBS.times do
      BenchJob.perform_async(now_us, PAD)
      sleep 0.005
    end
  else
    Sidekiq.redis(&:ping)
    start = now_us
    (0...JOBS).each_slice(1000) { |slice| Sidekiq::Client.push_bulk('class' => BenchJob, 'args' => slice.map { [nil, PAD] }) }
    puts((now_us - start) / 1e6)
  end
end
