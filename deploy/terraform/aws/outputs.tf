# SPDX-License-Identifier: MIT
output "front_address" {
  description = "Where the name of public_url has to lead (A record)."
  value       = aws_eip.front.public_ip
}

output "bucket" {
  description = "For releases/ and weights/; the rest is Darkroom's."
  value       = aws_s3_bucket.objects.bucket
}

output "group" {
  description = "The workers' autoscaling group."
  value       = aws_autoscaling_group.worker.name
}

output "secrets" {
  description = "To be filled with JSON objects of file names and texts before machines can serve."
  value = {
    front  = aws_secretsmanager_secret.front.name
    tls    = aws_secretsmanager_secret.tls.name
    worker = aws_secretsmanager_secret.worker.name
  }
}

output "mail_records" {
  description = "CNAME records by which SES may sign for mail_domain."
  value = {
    for token in aws_sesv2_email_identity.mail.dkim_signing_attributes[0].tokens :
    "${token}._domainkey.${var.mail_domain}" => "${token}.dkim.amazonses.com"
  }
}
