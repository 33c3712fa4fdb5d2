# SPDX-License-Identifier: MIT
variable "name" {
  description = "What everything here is called, or begins with."
  type        = string
  default     = "darkroom"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}$", var.name))
    error_message = "2 to 31 small letters, digits and dashes."
  }
}

variable "region" {
  description = "Region of AWS."
  type        = string
  validation {
    condition     = can(regex("^[a-z]{2}(-[a-z]+)+-[0-9]$", var.region))
    error_message = "Wanted a region such as eu-west-1."
  }
}

variable "vpc_id" {
  description = "The network, which is there already."
  type        = string
  validation {
    condition     = startswith(var.vpc_id, "vpc-")
    error_message = "Wanted vpc-…"
  }
}

variable "subnet_ids" {
  description = "Public subnets of it for the workers, in as many zones as possible: each zone and type is a spot market of its own."
  type        = list(string)
  validation {
    condition     = length(var.subnet_ids) >= 2 && alltrue([for id in var.subnet_ids : startswith(id, "subnet-")])
    error_message = "Wanted two or more subnets."
  }
}

variable "front_subnet_id" {
  description = "Public subnet for the front."
  type        = string
  validation {
    condition     = startswith(var.front_subnet_id, "subnet-")
    error_message = "Wanted subnet-…"
  }
}

variable "route_table_ids" {
  description = "Route tables of all these subnets, for the way to S3 that costs nothing."
  type        = list(string)
  validation {
    condition     = length(var.route_table_ids) > 0
    error_message = "Wanted one or more route tables."
  }
}

variable "public_url" {
  description = "https:// address of the service, whose name leads to the output front_address."
  type        = string
  validation {
    condition     = can(regex("^https://[a-z0-9.-]+$", var.public_url))
    error_message = "Wanted https://HOST without a slash at its end."
  }
}

variable "contact" {
  description = "Where visitors reach you: mailto:ADDRESS or a page."
  type        = string
}

variable "visitors" {
  description = "Networks that may reach the front on ports 80 and 443; workers come from the internet's side, too."
  type        = list(string)
  default     = ["0.0.0.0/0"]
  validation {
    condition     = alltrue([for network in var.visitors : can(cidrnetmask(network))])
    error_message = "Wanted IPv4 networks such as 203.0.113.0/24."
  }
}

variable "release_url" {
  description = "What deploy/release.sh made, with CUDA, at an address that wants no rights; in this bucket under releases/ the VPC may read it."
  type        = string
  validation {
    condition     = can(regex("^https://[^ \"'$`]+$", var.release_url))
    error_message = "Wanted https://…"
  }
}

variable "release_sha256" {
  description = "Its SHA-256, as release.sh printed it."
  type        = string
  validation {
    condition     = can(regex("^[0-9a-f]{64}$", var.release_sha256))
    error_message = "Wanted 64 hex digits."
  }
}

variable "mail_domain" {
  description = "Domain of the sender, to be verified by the DNS records of the output mail_records."
  type        = string
  validation {
    condition     = can(regex("^[a-z0-9-]+([.][a-z0-9-]+)+$", var.mail_domain))
    error_message = "Wanted a domain."
  }
}

variable "mail_from" {
  description = "Address of the sender, at that domain."
  type        = string
  validation {
    condition     = can(regex("^[A-Za-z0-9._+-]+@[a-z0-9.-]+$", var.mail_from))
    error_message = "Wanted an address without a name."
  }
}

variable "smtp_user" {
  description = "Access key id of the user NAME-mail; \"later\" until there is one (README.md)."
  type        = string
  validation {
    condition     = can(regex("^(AKIA[A-Z0-9]+|later)$", var.smtp_user))
    error_message = "Wanted AKIA…, or later."
  }
}

variable "retain_days" {
  description = "For how long pictures and results are kept."
  type        = number
  default     = 7
  validation {
    condition     = var.retain_days >= 1 && var.retain_days <= 365 && floor(var.retain_days) == var.retain_days
    error_message = "1 to 365 whole days."
  }
}

variable "front_type" {
  description = "Machine of the front: 64-bit x86."
  type        = string
  default     = "t3.large"
}

variable "front_disk_gb" {
  description = "Its disk, with Redis' append-only file."
  type        = number
  default     = 30
  validation {
    condition     = var.front_disk_gb >= 16
    error_message = "16 or more."
  }
}

variable "worker_types" {
  description = "Machines with one NVIDIA GPU each, the preferred ones first: the more, the fewer are taken away."
  type        = list(string)
  default     = ["g6.xlarge", "g5.xlarge", "g4dn.xlarge", "g6.2xlarge", "g5.2xlarge", "g4dn.2xlarge"]
  validation {
    condition     = length(var.worker_types) >= 2 && length(var.worker_types) <= 40
    error_message = "2 to 40 types: one alone is one market alone."
  }
}

variable "worker_image" {
  description = "AMI with NVIDIA's driver, systemd, curl and a C library as of Debian 12; left out: AWS's newest for deep learning on Ubuntu 24.04."
  type        = string
  default     = null
}

variable "worker_disk_gb" {
  description = "Disk of a worker; not less than the AMI's own."
  type        = number
  default     = 75
}

variable "precision" {
  description = "In which the GPUs compute."
  type        = string
  default     = "f16"
  validation {
    condition     = contains(["f32", "bf16", "f16"], var.precision)
    error_message = "f32, bf16 or f16."
  }
}

variable "least" {
  description = "Workers there are at least."
  type        = number
  default     = 0
  validation {
    condition     = var.least >= 0
    error_message = "0 or more."
  }
}

variable "most" {
  description = "Workers there are at most, which bounds what all this costs."
  type        = number
  default     = 10
  validation {
    condition     = var.most >= 1 && var.most <= 1000
    error_message = "1 to 1000."
  }
}

variable "on_demand" {
  description = "As many of them, the first ones, are no spot machines."
  type        = number
  default     = 0
}

variable "spot_strategy" {
  description = "price-capacity-optimized, or capacity-optimized-prioritized where the order of worker_types matters more than the price."
  type        = string
  default     = "price-capacity-optimized"
  validation {
    condition     = contains(["price-capacity-optimized", "capacity-optimized-prioritized"], var.spot_strategy)
    error_message = "price-capacity-optimized or capacity-optimized-prioritized."
  }
}

variable "target_wait_s" {
  description = "For how long a job should wait at most."
  type        = number
  default     = 60
}

variable "start_s" {
  description = "From the decision for a worker until it claims; measure yours."
  type        = number
  default     = 120
}

variable "guard_idle_s" {
  description = "After so long without a job a worker may be scaled in."
  type        = number
  default     = 10
}
