# SPDX-License-Identifier: MIT
#
# Workers on spot machines of many types. `darkroom scale` on the front tells the group its size, so it has no policy of its
# own; busy machines have protected themselves.

data "aws_ami" "gpu" {
  count       = var.worker_image == null ? 1 : 0
  most_recent = true
  owners      = ["amazon"]
  filter {
    name   = "name"
    values = ["Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 24.04)*"]
  }
  filter {
    name   = "architecture"
    values = ["x86_64"]
  }
}

data "aws_iam_policy_document" "machine" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ec2.amazonaws.com"]
    }
  }
}

data "aws_iam_policy_document" "worker" {
  statement {
    sid       = "ProtectItself"
    actions   = ["autoscaling:SetInstanceProtection"]
    resources = [local.group_arn]
  }
  statement {
    sid       = "ReadItsSecrets"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [aws_secretsmanager_secret.worker.arn]
  }
}

resource "aws_iam_role" "worker" {
  name               = "${var.name}-worker"
  description        = "Of machines that run jobs."
  assume_role_policy = data.aws_iam_policy_document.machine.json
}

resource "aws_iam_role_policy" "worker" {
  name   = "worker"
  role   = aws_iam_role.worker.name
  policy = data.aws_iam_policy_document.worker.json
}

resource "aws_iam_instance_profile" "worker" {
  name       = "${var.name}-worker"
  role       = aws_iam_role.worker.name
  depends_on = [aws_iam_role_policy.worker]
}

# Nobody reaches a worker.
resource "aws_security_group" "worker" {
  name        = "${var.name}-worker"
  description = "Workers reach others and are reached by nobody"
  vpc_id      = var.vpc_id
}

# HTTPS: the front, S3, AWS's services, weights that manifests name by URL.
resource "aws_vpc_security_group_egress_rule" "worker_https" {
  security_group_id = aws_security_group.worker.id
  description       = "HTTPS"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = "0.0.0.0/0"
}

resource "aws_vpc_security_group_egress_rule" "worker_redis" {
  security_group_id            = aws_security_group.worker.id
  description                  = "Redis on the front"
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
  referenced_security_group_id = aws_security_group.front.id
}

resource "aws_launch_template" "worker" {
  name                                 = "${var.name}-worker"
  image_id                             = var.worker_image == null ? data.aws_ami.gpu[0].id : var.worker_image
  instance_initiated_shutdown_behavior = "terminate"
  update_default_version               = true
  user_data = base64encode(templatefile("${local.files}/worker.yaml", {
    boot           = filebase64("${local.files}/boot.sh")
    release_url    = var.release_url
    release_sha256 = var.release_sha256
    secret         = aws_secretsmanager_secret.worker.name
    redis          = "redis://darkroom-worker@${aws_network_interface.front.private_ip}:6379/0"
    dispatcher     = var.public_url
    device         = "cuda"
    precision      = var.precision
    group          = local.group
    guard_idle_s   = var.guard_idle_s
  }))
  iam_instance_profile {
    arn = aws_iam_instance_profile.worker.arn
  }
  network_interfaces {
    associate_public_ip_address = true
    delete_on_termination       = true
    security_groups             = [aws_security_group.worker.id]
  }
  # Without a token nothing on the machine gets the role's credentials, and nothing that is one hop away gets any.
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  block_device_mappings {
    device_name = "/dev/sda1"
    ebs {
      volume_size           = var.worker_disk_gb
      volume_type           = "gp3"
      encrypted             = true
      delete_on_termination = true
    }
  }
  tag_specifications {
    resource_type = "volume"
    tags          = { Name = "${var.name}-worker", Application = var.name }
  }
}

resource "aws_autoscaling_group" "worker" {
  name                      = local.group
  min_size                  = var.least
  max_size                  = var.most
  vpc_zone_identifier       = var.subnet_ids
  capacity_rebalance        = true
  health_check_type         = "EC2"
  health_check_grace_period = 60
  default_cooldown          = 0
  default_instance_warmup   = 0
  wait_for_capacity_timeout = "0"
  # The signal and the guard are what stops machines; Terraform does not wait for them.
  force_delete = false

  mixed_instances_policy {
    instances_distribution {
      on_demand_base_capacity                  = var.on_demand
      on_demand_percentage_above_base_capacity = 0
      spot_allocation_strategy                 = var.spot_strategy
    }
    launch_template {
      launch_template_specification {
        launch_template_id = aws_launch_template.worker.id
        version            = aws_launch_template.worker.latest_version
      }
      dynamic "override" {
        for_each = var.worker_types
        content {
          instance_type = override.value
        }
      }
    }
  }

  # A new release: machines are replaced one after the other, busy ones when they are idle.
  instance_refresh {
    strategy = "Rolling"
    preferences {
      min_healthy_percentage       = 75
      instance_warmup              = "120"
      scale_in_protected_instances = "Wait"
    }
  }

  tag {
    key                 = "Name"
    value               = "${var.name}-worker"
    propagate_at_launch = true
  }

  lifecycle {
    ignore_changes = [desired_capacity] # `darkroom scale` says it
    precondition {
      condition     = var.least <= var.most && var.on_demand <= var.most
      error_message = "least and on_demand must not be more than most."
    }
  }
}
