# SPDX-License-Identifier: MIT
#
# SES sends for one domain, by SMTP, which knows users and no roles.

resource "aws_sesv2_email_identity" "mail" {
  email_identity = var.mail_domain
  dkim_signing_attributes {
    next_signing_key_length = "RSA_2048_BIT"
  }
}

data "aws_iam_policy_document" "mail" {
  statement {
    sid       = "SendAsOneAddress"
    actions   = ["ses:SendRawEmail"]
    resources = [aws_sesv2_email_identity.mail.arn]
    condition {
      test     = "StringEquals"
      variable = "ses:FromAddress"
      values   = [var.mail_from]
    }
  }
}

resource "aws_iam_user" "mail" {
  name = "${var.name}-mail"
}

resource "aws_iam_user_policy" "mail" {
  name   = "mail"
  user   = aws_iam_user.mail.name
  policy = data.aws_iam_policy_document.mail.json
}
