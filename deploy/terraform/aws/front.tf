# SPDX-License-Identifier: MIT
#
# The machine that visitors and workers reach: Redis, two dispatchers, notifier, nginx, scaling.

data "aws_ami" "debian" {
  most_recent = true
  owners      = ["136693071363"] # Debian's
  filter {
    name   = "name"
    values = ["debian-12-amd64-*"]
  }
}

data "aws_iam_policy_document" "front" {
  statement {
    sid       = "SizeTheGroup"
    actions   = ["autoscaling:SetDesiredCapacity"]
    resources = [local.group_arn]
  }
  statement {
    sid       = "ReadItsSecrets"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [aws_secretsmanager_secret.front.arn, aws_secretsmanager_secret.tls.arn]
  }
  statement {
    sid       = "ObjectsOfJobs"
    actions   = ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]
    resources = ["${aws_s3_bucket.objects.arn}/inputs/*", "${aws_s3_bucket.objects.arn}/results/*"]
  }
  statement {
    sid       = "ListThem"
    actions   = ["s3:ListBucket"]
    resources = [aws_s3_bucket.objects.arn]
  }
}

resource "aws_iam_role" "front" {
  name               = "${var.name}-front"
  description        = "Of the machine that visitors reach."
  assume_role_policy = data.aws_iam_policy_document.machine.json
}

resource "aws_iam_role_policy" "front" {
  name   = "front"
  role   = aws_iam_role.front.name
  policy = data.aws_iam_policy_document.front.json
}

resource "aws_iam_instance_profile" "front" {
  name       = "${var.name}-front"
  role       = aws_iam_role.front.name
  depends_on = [aws_iam_role_policy.front]
}

# Their values are yours to write (README.md): what Terraform writes stands in its state.
resource "aws_secretsmanager_secret" "front" {
  name        = "${var.name}/front"
  description = "Files of /etc/darkroom on the front."
}

resource "aws_secretsmanager_secret" "tls" {
  name        = "${var.name}/tls"
  description = "certificate.pem and key.pem of the public name."
}

resource "aws_secretsmanager_secret" "worker" {
  name        = "${var.name}/worker"
  description = "Files of /etc/darkroom on workers."
}

resource "aws_security_group" "front" {
  name        = "${var.name}-front"
  description = "Visitors reach nginx, workers Redis"
  vpc_id      = var.vpc_id
}

resource "aws_vpc_security_group_ingress_rule" "front_https" {
  for_each          = toset(var.visitors)
  security_group_id = aws_security_group.front.id
  description       = "HTTPS"
  ip_protocol       = "tcp"
  from_port         = 443
  to_port           = 443
  cidr_ipv4         = each.value
}

resource "aws_vpc_security_group_ingress_rule" "front_http" {
  for_each          = toset(var.visitors)
  security_group_id = aws_security_group.front.id
  description       = "HTTP, which is sent on to HTTPS"
  ip_protocol       = "tcp"
  from_port         = 80
  to_port           = 80
  cidr_ipv4         = each.value
}

resource "aws_vpc_security_group_ingress_rule" "front_redis" {
  security_group_id            = aws_security_group.front.id
  description                  = "Redis, for workers alone"
  ip_protocol                  = "tcp"
  from_port                    = 6379
  to_port                      = 6379
  referenced_security_group_id = aws_security_group.worker.id
}

# Packages, S3, mails, webhooks of customers at whatever port.
resource "aws_vpc_security_group_egress_rule" "front" {
  security_group_id = aws_security_group.front.id
  description       = "Anywhere"
  ip_protocol       = "-1"
  cidr_ipv4         = "0.0.0.0/0"
}

# Its address is part of its own user data and of the workers'.
resource "aws_network_interface" "front" {
  subnet_id       = var.front_subnet_id
  security_groups = [aws_security_group.front.id]
  description     = "${var.name}-front"
}

resource "aws_instance" "front" {
  ami                  = data.aws_ami.debian.id
  instance_type        = var.front_type
  iam_instance_profile = aws_iam_instance_profile.front.name
  user_data = templatefile("${local.files}/front.yaml", {
    boot           = filebase64("${local.files}/boot.sh")
    release_url    = var.release_url
    release_sha256 = var.release_sha256
    secret         = aws_secretsmanager_secret.front.name
    tls_secret     = aws_secretsmanager_secret.tls.name
    address        = aws_network_interface.front.private_ip
    public_url     = var.public_url
    contact        = var.contact
    bucket         = aws_s3_bucket.objects.bucket
    region         = var.region
    retain_ms      = var.retain_days * 86400000
    mail_from      = "Darkroom <${var.mail_from}>"
    smtp_user      = var.smtp_user
    group          = local.group
    least          = var.least
    most           = var.most
    target_wait_s  = var.target_wait_s
    start_s        = var.start_s
  })
  disable_api_termination = true # its disk has the queue
  primary_network_interface {
    network_interface_id = aws_network_interface.front.id
  }
  metadata_options {
    http_endpoint               = "enabled"
    http_tokens                 = "required"
    http_put_response_hop_limit = 1
  }
  root_block_device {
    volume_size = var.front_disk_gb
    volume_type = "gp3"
    encrypted   = true
  }
  tags = { Name = "${var.name}-front" }
  lifecycle {
    # Neither another image nor another first boot is a reason to stop it.
    ignore_changes = [ami, user_data]
    precondition {
      condition     = var.smtp_user != "later"
      error_message = "Make the key and the secrets first (README.md): the first boot reads them."
    }
  }
}

resource "aws_eip" "front" {
  domain            = "vpc"
  network_interface = aws_network_interface.front.id
  tags              = { Name = "${var.name}-front" }
  depends_on        = [aws_instance.front]
}
