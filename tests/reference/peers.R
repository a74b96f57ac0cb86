# What the cases share: read the data the tests read, fit with lme4, write what it says.
# A case's make.R sources this file and is run in its own folder:  cd radon && Rscript make.R
suppressPackageStartupMessages({
  library(lme4)
  library(lmerTest)
  library(pbkrtest)
  library(jsonlite)
})

# Tighter than lme4's defaults, which stop with relative errors of 1e-4 in variances.
tight <- lmerControl(
  optimizer = "nloptwrap", calc.derivs = FALSE,
  optCtrl = list(xtol_abs = 1e-12, ftol_abs = 1e-12, maxeval = 100000)
)

python <- function() Sys.getenv("PYTHON", "../../../.venv/bin/python")

# Data of a case: from a package by way of make_data.py, or from data.csv in the case's folder.
# `levels` names the factors and the order of their levels, `derive` is as in a study file.
case_data <- function(package = NULL, dataset = NULL, groups, levels = list(), derive = list()) {
  if (is.null(package)) {
    path <- "data.csv"
  } else {
    path <- tempfile(fileext = ".csv")
    stopifnot(system2(python(), c("../make_data.py", package, dataset, path)) == 0)
  }
  frame <- read.csv(path, check.names = FALSE, na.strings = "NA")
  for (group in names(groups)) frame[[group]] <- factor(frame[[group]])
  for (name in names(levels)) frame[[name]] <- factor(frame[[name]], levels = levels[[name]])
  for (rule in derive) {
    if (!is.null(rule$center)) {
      frame[[rule$as]] <- frame[[rule$center]] - rule$at
      next
    }
    source <- if (is.null(rule$within)) rule$between else rule$within
    means <- ave(frame[[source]], frame[[rule$group]])
    frame[[rule$as]] <- if (is.null(rule$within)) means else frame[[source]] - means
  }
  sum <- sub(" .*", "", system2("sha256sum", path, stdout = TRUE))
  about <- list(
    package = package, dataset = dataset, sha256 = sum, rows = nrow(frame),
    groups = groups, levels = levels, derive = derive
  )
  list(frame = frame, about = about)
}

inside <- function(within = NULL) list(within = within)

# lme4 writes `Subject.1` for the second term of (x || Subject), and `child.school` for one of child:school.
plain_group <- function(name, fit) {
  known <- names(ngrps(fit))
  known[match(make.names(sub("\\.[0-9]+$", "", name)), make.names(known))]
}

variances <- function(fit) {
  table <- as.data.frame(VarCorr(fit))
  is_sd <- is.na(table$var2) & table$grp != "Residual"
  is_cor <- !is.na(table$var2)
  sds <- table[is_sd, ]
  cors <- table[is_cor, ]
  list(
    sds = data.frame(group = plain_group(sds$grp, fit), term = sds$var1, sd = sds$sdcor),
    cors = if (any(is_cor)) {
      data.frame(group = plain_group(cors$grp, fit), term = paste(cors$var1, cors$var2, sep = ":"), cor = cors$sdcor)
    } else {
      list()
    },
    sigma = sigma(fit)
  )
}

# Random effects with their conditional SDs, and the group's own coefficients.
group_rows <- function(fit) {
  table <- as.data.frame(ranef(fit, condVar = TRUE), stringsAsFactors = FALSE)
  factor <- plain_group(as.character(table$grpvar), fit)
  data.frame(
    group = factor, label = as.character(table$grp), term = as.character(table$term),
    effect = table$condval, effect_sd = table$condsd
  )
}

# Of a factor with very many groups a few rows are stored, evenly spread, and the sums over all of them.
SHOWN <- 12
some_rows <- function(rows, most) {
  parts <- split(rows, list(rows$group, rows$term), drop = TRUE)
  few <- lapply(parts, function(part) {
    if (nrow(part) <= most) part else part[round(seq(1, nrow(part), length.out = SHOWN)), ]
  })
  do.call(rbind, unname(few))
}

group_sums <- function(rows) {
  parts <- split(rows, list(rows$group, rows$term), drop = TRUE)
  do.call(rbind, unname(lapply(parts, function(part) {
    data.frame(
      group = part$group[1], term = part$term[1], n = nrow(part),
      squares = sum(part$effect^2), sds = sum(part$effect_sd)
    )
  })))
}

# `df` is left out where lmerTest's numerical derivatives take minutes.
fixed_rows <- function(fit, df = TRUE) {
  table <- as.data.frame(coef(summary(fit, ddf = if (df) "Satterthwaite" else "lme4")))
  if (!df) {
    return(data.frame(
      term = rownames(table), estimate = table[["Estimate"]], std_error = table[["Std. Error"]],
      statistic = table[["t value"]]
    ))
  }
  data.frame(
    term = rownames(table), estimate = table[["Estimate"]], std_error = table[["Std. Error"]],
    df = table[["df"]], statistic = table[["t value"]], p_value = table[["Pr(>|t|)"]]
  )
}

kenward_roger <- function(fit) {
  table <- as.data.frame(coef(summary(fit, ddf = "Kenward-Roger")))
  data.frame(term = rownames(table), std_error = table[["Std. Error"]], df = table[["df"]])
}

profile_rows <- function(fit) {
  intervals <- suppressMessages(confint(fit, method = "profile", oldNames = FALSE, quiet = TRUE))
  data.frame(name = rownames(intervals), lower = unname(intervals[, 1]), upper = unname(intervals[, 2]))
}

# lme4 profiles the ML likelihood even of a REML fit. The profile of the restricted likelihood of a random
# intercept, from lme4's own criterion at given (tau, sigma), other parameters at their best.
restricted_profile <- function(fit) {
  criterion <- getME(fit, "devfun")
  space <- environment(criterion)
  df <- nobs(fit) - length(fixef(fit))
  value <- function(tau, sigma) {
    criterion(tau / sigma)
    squares <- space$resp$wrss() + space$pp$sqrL(1)
    space$pp$ldL2() + space$pp$ldRX2() + df * log(2 * pi * sigma^2) + squares / sigma^2
  }
  tau <- attr(VarCorr(fit)[[1]], "stddev")
  sigma <- sigma(fit)
  best <- value(tau, sigma)
  free <- function(fixed, name, start) {
    other <- function(log_value) {
      if (name == "tau") value(fixed, exp(log_value)) else value(exp(log_value), fixed)
    }
    optimize(other, log(start) + c(-2, 2), tol = 1e-10)$objective - best - qchisq(0.95, 1)
  }
  limits <- function(name, centre, start) {
    search <- function(range) uniroot(function(x) free(x, name, start), range, tol = 1e-9 * centre)$root
    c(search(centre * c(0.02, 1)), search(centre * c(1, 8)))
  }
  rows <- rbind(limits("tau", tau, sigma), limits("sigma", sigma, tau))
  group <- names(VarCorr(fit))
  data.frame(name = c(paste0("sd_(Intercept)|", group), "sigma"), lower = rows[, 1], upper = rows[, 2])
}

polish <- lmerControl(optimizer = "bobyqa", calc.derivs = FALSE, optCtrl = list(rhobeg = 1e-3, rhoend = 1e-9))

# The best of several starts: from its own start lme4 ends on a false boundary for radon with varying slopes
# and a cross-level interaction (an intercept SD of 0, REML log-likelihood 2.83 below the optimum).
# `quick` (hundreds of thousands of random effects): from lme4's own start, and polished.
best_fit <- function(formula, frame, reml, weights = NULL, quick = FALSE) {
  frame$prior_weights <- if (is.null(weights)) rep(1, nrow(frame)) else frame[[weights]]
  from <- function(start, control = tight) {
    arguments <- list(as.formula(formula), data = frame, REML = reml, control = control, start = start)
    if (!is.null(weights)) arguments$weights <- quote(prior_weights)
    suppressMessages(suppressWarnings(do.call(lmerTest::lmer, arguments)))
  }
  first <- from(NULL)
  if (quick) {
    return(from(getME(first, "theta"), polish))
  }
  lower <- getME(first, "lower")
  starts <- expand.grid(diagonal = c(0.15, 0.5), beside = c(0.15, -0.15))
  others <- lapply(seq_len(nrow(starts)), function(i) {
    from(ifelse(lower == 0, starts$diagonal[i], starts$beside[i]))
  })
  fits <- c(first, others)
  best <- fits[[which.max(sapply(fits, logLik))]]
  from(getME(best, "theta"), polish)
}

# Everything a model says. `profile` and `kr` are asked for where they are quick and the field uses them.
# `most`: factors with more groups than this are stored in part, with the sums over all groups.
peer <- function(data, formula, reml = TRUE, profile = FALSE, kr = FALSE, groups = TRUE, weights = NULL,
                 df = TRUE, quick = FALSE, most = 400) {
  fit <- best_fit(formula, data$frame, reml, weights, quick)
  value <- logLik(fit)
  said <- list(
    formula = formula, reml = reml, n_obs = nobs(fit), n_groups = as.list(ngrps(fit)),
    singular = isSingular(fit), theta = unname(getME(fit, "theta")),
    fixed = fixed_rows(fit, df), vcov = unname(as.matrix(vcov(fit)))
  )
  said <- c(said, variances(fit), list(
    log_likelihood = as.numeric(value), n_parameters = attr(value, "df"),
    criterion = if (reml) unname(REMLcrit(fit)) else unname(deviance(fit)), aic = AIC(fit), bic = BIC(fit)
  ))
  if (kr) said$kenward_roger <- kenward_roger(fit)
  if (!is.null(weights)) said$weights <- weights
  if (groups) {
    rows <- group_rows(fit)
    said$groups <- some_rows(rows, most)
    if (nrow(said$groups) < nrow(rows)) said$group_sums <- group_sums(rows)
  }
  # Last, because profiling leaves lme4's object at other parameters.
  if (profile) said$profile <- if (reml) restricted_profile(fit) else profile_rows(fit)
  said
}

# Complete pooling: least squares, with the cluster-robust variances people ask for.
complete_pooling <- function(data, formula, group) {
  fit <- lm(as.formula(formula), data = data$frame)
  robust <- lapply(c(CR0 = "CR0", CR1 = "CR1", CR1S = "CR1S", CR2 = "CR2", CR3 = "CR3"), function(kind) {
    vcov <- clubSandwich::vcovCR(fit, cluster = data$frame[[group]], type = kind)
    test <- clubSandwich::coef_test(fit, vcov = vcov, test = "Satterthwaite")
    data.frame(term = names(coef(fit)), std_error = test$SE, df = test$df)
  })
  list(
    formula = formula, group = group, sigma = sigma(fit), df_residual = df.residual(fit),
    log_likelihood = as.numeric(logLik(fit)), aic = AIC(fit), bic = BIC(fit),
    fixed = data.frame(
      term = names(coef(fit)), estimate = unname(coef(fit)),
      std_error = unname(sqrt(diag(vcov(fit))))
    ),
    robust = robust
  )
}

# No pooling of intercepts: one indicator a group, common slopes.
no_pooling <- function(data, formula, group, outcome_formula = NULL) {
  fit <- lm(as.formula(formula), data = data$frame)
  table <- coef(summary(fit))
  own <- grepl(paste0("^", group), rownames(table))
  rows <- function(keep, labels) {
    data.frame(label = labels, estimate = unname(table[keep, 1]), std_error = unname(table[keep, 2]))
  }
  list(
    formula = formula, group = group, sigma = sigma(fit), df_residual = df.residual(fit),
    log_likelihood = as.numeric(logLik(fit)),
    groups = rows(own, sub(paste0("^", group), "", rownames(table)[own])),
    fixed = rows(!own, rownames(table)[!own])
  )
}

# No pooling of anything: a regression a group, with its own or one common residual variance.
group_regressions <- function(data, formula, group) {
  parts <- split(data$frame, data$frame[[group]])
  one <- function(label) {
    fit <- lm(as.formula(formula), data = parts[[label]])
    table <- coef(summary(fit))
    data.frame(
      label = label, term = rownames(table), n = nobs(fit), estimate = unname(table[, 1]),
      std_error = unname(table[, 2]), unscaled = unname(sqrt(diag(summary(fit)$cov.unscaled))),
      rss = deviance(fit), df = df.residual(fit)
    )
  }
  rows <- do.call(rbind, lapply(names(parts), one))
  ends <- rows[!duplicated(rows$label), ]
  sigma <- sqrt(sum(ends$rss) / sum(ends$df))
  rows$std_error_pooled <- rows$unscaled * sigma
  rows$unscaled <- rows$rss <- NULL
  list(formula = formula, group = group, pooled_sigma = sigma, groups = rows)
}

# Likelihood-ratio test of a variance or covariance, naive and by the chi-bar-square mixture (rule 6).
variance_test <- function(small, large, q) {
  statistic <- max(0, 2 * (large$log_likelihood - small$log_likelihood))
  naive <- pchisq(statistic, q + 1, lower.tail = FALSE)
  lower <- if (q == 0) as.numeric(statistic <= 0) else pchisq(statistic, q, lower.tail = FALSE)
  list(small = small$formula, large = large$formula, statistic = statistic, naive = naive, mixture = (naive + lower) / 2)
}

save_case <- function(data, models, ...) {
  versions <- sapply(c("lme4", "lmerTest", "pbkrtest", "nlme", "clubSandwich"), function(p) as.character(packageVersion(p)))
  content <- c(list(
    source = paste("make.R in this folder, run with", R.version.string),
    versions = as.list(versions), data = data$about, models = models
  ), list(...))
  write_json(content, "expected.json", auto_unbox = TRUE, digits = NA, pretty = TRUE, null = "null", na = "null", dataframe = "columns")
  writeLines(capture.output(sessionInfo()), "session.txt")
}
